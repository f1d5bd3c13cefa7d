//! The family beside its rivals: the same works, back to back, as a table of ratios.
#![expect(clippy::cast_precision_loss, reason = "figures are rounded to be read by people")]

mod charts;
mod machine;
mod report;
mod rows;
mod shortfalls;
mod table;
mod targets;

use std::{
    alloc::System,
    path::{Path, PathBuf},
};

use benches::{
    contest::medians,
    works::{self, memory},
};
use cap::Cap;
use clap::Parser;

use rows::{Figure, Row};

/// Counts what is allocated, for one atomic operation an allocation; all peers pay it.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Does the same works with the events family and its rivals, and compares.
///
/// Each figure is the median of some runs, set-up off the clock, the flush of a close on it. Quote
/// ratios from one sitting on one machine, never the figures alone.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Runs of each work; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only what has one of these in its name, which is "work peer"
    #[arg(long, value_name = "PART")]
    work: Vec<String>,
    /// Writes one of so many events only: to see that it works, not how fast
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    share: u32,
    /// Prints one JSON object for each figure, and no table
    #[arg(long)]
    json: bool,
    /// Compares with these figures of others too, as printed with --json
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Measures nothing, and takes the figures from a file, as printed with --json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["work", "json"])]
    from: Option<PathBuf>,
    /// Writes BENCHMARKS.md and its charts
    #[arg(long, conflicts_with_all = ["work", "json", "share"])]
    write: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut others = Vec::new();
    for path in &options.with {
        others.extend(rows::read(path)?);
    }
    let mut rows = match &options.from {
        Some(path) => rows::read(path)?,
        None => measure(&options)?,
    };
    let works: Vec<String> = rows::works(&rows).into_iter().map(Into::into).collect();
    rows.extend(others.into_iter().filter(|row| works.contains(&row.work)));
    if options.write {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        report::write(&rows, options.runs, &root)?;
    }
    if !options.json {
        println!("{}\n\n{}", table::figures(&rows), table::targets(&rows));
    }
    Ok(())
}

fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut keep = |work: &str, peer: &str, figure| {
        let row = Row { work: work.into(), peer: peer.into(), figure };
        if options.json {
            println!("{}", serde_json::to_string(&row)?);
        } else {
            eprintln!("{work} {peer}: {}", row.figure);
        }
        rows.push(row);
        anyhow::Ok(())
    };
    // First, while nothing lies about in the caches of threads and runtimes.
    for weighing in memory::ALL {
        if options.wants(weighing.work, weighing.peer) {
            let size = weighing.bytes(&|| HEAP.allocated()) as u64;
            keep(weighing.work, weighing.peer, Figure::Size(size))?;
        }
    }
    let contests = works::all(options.share as usize);
    for peers in contests.chunk_by(|one, other| one.work == other.work) {
        let peers: Vec<_> =
            peers.iter().filter(|peer| options.wants(&peer.work, peer.peer)).collect();
        for (peer, time) in peers.iter().zip(medians(&peers, options.runs)) {
            keep(&peer.work, peer.peer, Figure::Time((time * 10.0).round() / 10.0))?;
        }
    }
    Ok(rows)
}

impl Options {
    fn wants(&self, work: &str, peer: &str) -> bool {
        let name = format!("{work} {peer}");
        self.work.is_empty() || self.work.iter().any(|part| name.contains(part))
    }
}
