//! What was measured, one JSON object a line.

use std::{fmt, fs, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The peer that the others are compared with.
pub(crate) const OURS: &str = "events";
/// The library in Go whose pattern this is.
pub(crate) const SEED: &str = "go-events";

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: String,
    /// By whom.
    pub(crate) peer: String,
    /// How it went.
    #[serde(flatten)]
    pub(crate) figure: Figure,
}

/// Less is better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Figure {
    /// Nanoseconds for each event.
    #[serde(rename = "ns_per_event")]
    Time(f64),
    /// Bytes for each thing.
    #[serde(rename = "bytes")]
    Size(u64),
}

impl Figure {
    /// The part of each, where so many share it.
    pub(crate) const fn shared_by(self, share: usize) -> Self {
        match self {
            Self::Time(ns) => Self::Time(ns / share as f64),
            Self::Size(bytes) => Self::Size(bytes / share as u64),
        }
    }

    /// The bare number.
    pub(crate) const fn value(self) -> f64 {
        match self {
            Self::Time(ns) => ns,
            Self::Size(bytes) => bytes as f64,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Time(ns) if ns < 10.0 => write!(f, "{ns:.1} ns"),
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
    pub(crate) fn is_ours(&self) -> bool {
        self.peer.starts_with(OURS)
    }

    /// Whether it is another Rust library's.
    pub(crate) fn is_rival(&self) -> bool {
        !self.is_ours() && self.peer != SEED
    }
}

/// The figure of `peer` in `work`.
pub(crate) fn find(rows: &[Row], work: &str, peer: &str) -> Option<Figure> {
    rows.iter().find(|row| row.work == work && row.peer == peer).map(|row| row.figure)
}

/// The names of all works, in order.
pub(crate) fn works(rows: &[Row]) -> Vec<&str> {
    let mut works = Vec::new();
    for row in rows {
        if !works.contains(&row.work.as_str()) {
            works.push(row.work.as_str());
        }
    }
    works
}

/// Reads rows from a file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}
