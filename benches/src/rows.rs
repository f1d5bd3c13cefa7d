//! What was measured, one JSON object a line.

use std::{error::Error, fs, path::Path};

use serde::{Deserialize, Serialize};

/// The peer that the others are compared with.
pub const OURS: &str = "events";
/// The library in Go whose pattern this is.
pub const SEED: &str = "go-events";

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// By whom.
    pub peer: String,
    /// How it went.
    #[serde(flatten)]
    pub figure: Figure,
}

/// Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Figure {
    /// Nanoseconds for each event.
    #[serde(rename = "ns_per_event")]
    Time(f64),
    /// Bytes for each thing.
    #[serde(rename = "bytes")]
    Size(u64),
}

impl Figure {
    /// The bare number.
    #[expect(clippy::cast_precision_loss, reason = "nothing weighs 2^53 bytes")]
    pub const fn value(self) -> f64 {
        match self {
            Self::Time(ns) => ns,
            Self::Size(bytes) => bytes as f64,
        }
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Time(ns) if ns < 1e3 => write!(f, "{ns:.0} ns"),
            Self::Time(ns) if ns < 1e4 => write!(f, "{:.2} µs", ns / 1e3),
            Self::Time(ns) if ns < 1e5 => write!(f, "{:.1} µs", ns / 1e3),
            Self::Time(ns) => write!(f, "{:.0} µs", ns / 1e3),
            Self::Size(bytes) => write!(f, "{bytes} B"),
        }
    }
}

impl Row {
    /// Whether it is one of this family's.
    pub fn is_ours(&self) -> bool {
        self.peer.starts_with(OURS)
    }

    /// Whether it is another Rust library's.
    pub fn is_rival(&self) -> bool {
        !self.is_ours() && self.peer != SEED
    }
}

/// The figure of `peer` in `work`.
pub fn find(rows: &[Row], work: &str, peer: &str) -> Option<Figure> {
    rows.iter().find(|row| row.work == work && row.peer == peer).map(|row| row.figure)
}

/// The names of all works, in order.
pub fn works(rows: &[Row]) -> Vec<&str> {
    let mut works = Vec::new();
    for row in rows {
        if !works.contains(&row.work.as_str()) {
            works.push(row.work.as_str());
        }
    }
    works
}

/// Reads rows from a file.
///
/// # Errors
/// It cannot be read, or a line is not a row.
pub fn read(path: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).map_err(|e| format!("{line}: {e}").into()))
        .collect()
}
