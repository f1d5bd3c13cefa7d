//! Writes `BENCHMARKS.md` and its charts.

use std::{fs, path::Path};

use anyhow::{Context, anyhow};

use crate::{charts, machine, rows::Row, shortfalls, table};

/// Where the charts lie, from the project's root.
const CHARTS: &str = "benches/charts";

/// Writes the page and what it shows, for the project at `root`.
pub(crate) fn write(rows: &[Row], runs: usize, root: &Path) -> anyhow::Result<()> {
    charts::draw(rows, &root.join(CHARTS)).map_err(|error| anyhow!("charts: {error}"))?;
    let path = root.join("BENCHMARKS.md");
    fs::write(&path, page(rows, runs, &machine::describe()?))
        .with_context(|| path.display().to_string())
}

fn page(rows: &[Row], runs: usize, machine: &str) -> String {
    let charts: Vec<_> = charts::CHARTS
        .iter()
        .map(|(name, title)| format!("![{title}]({CHARTS}/{name}.svg)"))
        .collect();
    let charts = charts.join("\n\n");
    let targets = table::targets(rows);
    let causes = shortfalls::causes(rows);
    let growth = table::growth(rows);
    let figures = table::figures(rows);
    format!(
        "\
# Benchmarks

Written by `cargo run --release -p benches --bin versus -- --write`; not by hand.

Every peer does the same work, in one sitting on one machine, and each figure is the median of
{runs} runs: set-up is off the clock, the flush of a close is on it. Compare the ratios; the figures
alone say as much about the machine.

{machine}

## What was aimed at

`go-events` is docker/go-events, the library in Go whose pattern this family follows; it ran right
before.

{targets}

What is missed, and why:

{causes}
## Growth

What one event costs for each of the subscribers, and what it costs the writer.

{growth}

## Broadcasts

{charts}

## All figures

{figures}

- `queue/4p` is a queue with four producers. The producers are threads, the worker is a thread, or a
  task where it says so.
- `queued`: a tokio runtime of two threads, in which the writer is a task. `events` is
  `Broadcaster::spawn_tokio`, `events (threads)` is `Broadcaster::spawn`, and `events (a queue
  each)` composes a broadcaster and queues, as `go-events` does. Of the rivals, each with a channel
  for each subscriber has a task for each, or a thread. `write` is the writer's part alone.
- `sparse`: the next event is written when all have got the last. `outside`: the writer is a thread
  that does not belong to the runtime, so that two wake-ups across threads are the floor.
- `direct`: sinks on the writer's thread; `plain loop` calls them from a `for` loop, and does
  nothing else that a broadcaster does.
- `memory`: bytes of live heap, for a queue with its task and its sink, for a subscription, and for
  each event in a backlog, where events are pointers.
- `http`: posts to a receiver on the loopback in the same process, one after the other; `batch` puts
  100 events into a request. `registry endpoint` is the notification endpoint of Docker's registry,
  in Go, with the same receiver in a process of its own.
- `durable`: 256 bytes an event, each on the disk before its writer goes on. 64 writers are tasks, or
  threads where it says so; `events` delivers everything meanwhile and takes it from the disk, and
  the others only write. `raw append` is one thread that appends 64 events, or the one, and calls
  `fdatasync`: nobody is woken. Among the threads each adds its event, one of them does that for
  all, and all wait for it. `drain` has a backlog delivered to a sink that takes everything, beside
  what it cost 64 tasks to write it; SQLite and `queue-file` take one event at a time.

[The durable log](benches/durable-log.md) has figures of its own.

## To repeat it

    cargo run --release -p benches --bin versus             # a table
    cargo run --release -p benches --bin versus -- --help   # parts of it, JSON, figures of others
    cargo bench -p benches --bench queue                    # one component, with confidence intervals
    cargo run --release -p benches --bin guard              # instruction counts, which no noise moves

The programs in Go are in [`benches/peers`](benches/peers), with how to run them.
"
    )
}
