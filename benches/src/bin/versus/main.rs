//! The family beside its rivals: the same works, back to back, as a table of ratios.

use std::{alloc::System, error::Error, path::PathBuf};

use benches::{
    rows::{self, Figure, Row},
    table,
    works::{self, memory},
};
use cap::Cap;
use clap::Parser;

/// Counts what is allocated, for one atomic operation an allocation; all peers pay it.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// Does the same works with the events family and its rivals, and compares.
///
/// Each figure is the median of some runs, set-up outside the clock, the flush of a close inside.
/// Quote ratios from one sitting on one machine, never the figures alone.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Runs of each work; the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only works, or `work peer`, whose name contains one of these
    #[arg(long, value_name = "FILTER")]
    work: Vec<String>,
    /// Does one of so many events only: to see that it works, not how fast
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    share: u32,
    /// Prints one JSON object for each figure, and no table
    #[arg(long)]
    json: bool,
    /// Rows of others, as printed with --json, to compare with
    #[arg(long, value_name = "FILE")]
    with: Vec<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let mut others = Vec::new();
    for path in &options.with {
        others.extend(rows::read(path)?);
    }
    let mut rows = measure(&options)?;
    if !options.json {
        let works: Vec<String> = rows::works(&rows).into_iter().map(Into::into).collect();
        rows.extend(others.into_iter().filter(|row| works.contains(&row.work)));
        println!("{}\n\n{}", table::figures(&rows), table::targets(&rows));
    }
    Ok(())
}

fn measure(options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    let mut keep = |work: &str, peer: &str, figure: &dyn Fn() -> Figure| {
        let name = format!("{work} {peer}");
        if !options.work.is_empty() && !options.work.iter().any(|part| name.contains(part)) {
            return Ok(());
        }
        let row = Row { work: work.into(), peer: peer.into(), figure: figure() };
        if options.json {
            println!("{}", serde_json::to_string(&row)?);
        } else {
            eprintln!("{name}: {}", row.figure);
        }
        rows.push(row);
        Ok::<_, serde_json::Error>(())
    };
    // First, since what the contests leave behind in caches of threads and runtimes weighs too.
    for weighing in memory::ALL {
        keep(weighing.work, weighing.peer, &|| {
            Figure::Size(weighing.bytes(&|| HEAP.allocated()) as u64)
        })?;
    }
    for contest in works::all(options.share as usize) {
        keep(&contest.work, contest.peer, &|| {
            let ns = contest.median(options.runs);
            Figure::Time((ns * 10.0).round() / 10.0)
        })?;
    }
    Ok(rows)
}
