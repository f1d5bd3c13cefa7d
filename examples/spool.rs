//! Looks into the file of a durable log or queue, and acts on its dead letters.
//!
//!     cargo run --release --example spool -- FILE \
//!         [stats | consumers | list | history | dead | replay | purge | tail]
//!
//! Looking works while a log has the file open; `replay` and `purge` need it closed. Without
//! arguments it makes a small file of its own and shows each command on it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use events_core::{Close, Sink, SinkError, sink_fn};
use events_durable::{DurableQueue, EventId, Spool, Stored, Which};

#[derive(Parser)]
#[command(about = "Looks into the file of a durable log or queue, and acts on its dead letters")]
struct Arguments {
    /// The file; without one, each command is shown on a small file that is made for it.
    file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Action>,
}

#[derive(Subcommand, Clone)]
enum Action {
    /// How much there is in the file: the default.
    Stats,
    /// Who reads it, and where each stands.
    Consumers,
    /// The events that are kept, oldest first.
    List {
        /// So many at most.
        #[arg(long, default_value_t = 100)]
        most: usize,
    },
    /// What became of an event.
    History { id: EventId },
    /// The dead letters, with their errors.
    Dead,
    /// Puts dead letters back, to be delivered again: these, or all.
    Replay {
        ids: Vec<EventId>,
        /// Those of this consumer alone.
        #[arg(long)]
        consumer: Option<String>,
    },
    /// Throws dead letters away: these, or all.
    Purge {
        ids: Vec<EventId>,
        /// Those of this consumer alone.
        #[arg(long)]
        consumer: Option<String>,
        /// Needed to throw all of them away.
        #[arg(long)]
        all: bool,
    },
    /// The events that are kept, then those that come, until interrupted.
    Tail {
        /// Ends after so many.
        #[arg(long)]
        count: Option<usize>,
    },
}

fn main() -> ExitCode {
    let Arguments { file, command } = Arguments::parse();
    let result = match file {
        Some(file) => run(&file, command.unwrap_or(Action::Stats)),
        None => demonstrate(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A reader that has seen enough, such as `head`, is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &Path, action: Action) -> Result<()> {
    let mut out = io::stdout().lock();
    match action {
        Action::Stats => {
            let stats = Spool::open(file)?.stats()?;
            writeln!(out, "events   {}", stats.events)?;
            writeln!(out, "pending  {}", stats.pending)?;
            writeln!(out, "dead     {}", stats.dead)?;
            if let Some(oldest) = stats.oldest {
                writeln!(out, "oldest   {} ago", ago(oldest))?;
            }
            let kib = |bytes: u64| bytes.div_ceil(1024);
            writeln!(out, "in use   {} of {} KiB", kib(stats.used_bytes), kib(stats.file_bytes))?;
        }
        Action::Consumers => {
            for one in Spool::open(file)?.consumers()? {
                let disabled = if one.disabled { ", disabled" } else { "" };
                writeln!(
                    out,
                    "{}: {} wait from {} on, {} parked, {} dead{disabled}",
                    one.name, one.waiting, one.position, one.parked, one.dead
                )?;
            }
        }
        Action::List { most } => {
            for event in Spool::open(file)?.events().take(most) {
                let event = event?;
                print(&mut out, event.id(), event.raw())?;
            }
        }
        Action::History { id } => {
            let history = Spool::open(file)?.history(id)?;
            let history = history.with_context(|| format!("{id} is not kept in this file"))?;
            writeln!(out, "written {} ago", ago(history.written))?;
            for standing in history.consumers {
                writeln!(out, "{}: {:?}", standing.consumer, standing.state)?;
                for attempt in standing.attempts {
                    let (number, at) = (attempt.number, ago(attempt.at));
                    writeln!(out, "    attempt {number}, {at} ago: {}", attempt.error)?;
                }
            }
        }
        Action::Dead => {
            for dead in Spool::open(file)?.dead_letters() {
                let dead = dead?;
                print(&mut out, dead.id(), dead.raw())?;
                let (attempts, last) = (dead.attempts(), ago(dead.last_failed()));
                let (who, why) = (dead.consumer(), dead.error());
                writeln!(out, "    {who}: {why} (attempts: {attempts}, the last {last} ago)")?;
            }
        }
        Action::Replay { ids, consumer } => {
            let count = Spool::replay(file, consumer.as_deref(), &which(ids))?;
            writeln!(out, "put back {count}, to be delivered when the log is opened next")?;
        }
        Action::Purge { ids, consumer, all } => {
            anyhow::ensure!(all || !ids.is_empty(), "say which ids to purge, or --all");
            let count = Spool::purge(file, consumer.as_deref(), &which(ids))?;
            writeln!(out, "threw away {count}")?;
        }
        Action::Tail { count } => {
            let mut events = Spool::open(file)?.events();
            let mut left = count.unwrap_or(usize::MAX);
            while left > 0 {
                if let Some(event) = events.next() {
                    let event = event?;
                    print(&mut out, event.id(), event.raw())?;
                    left -= 1;
                } else {
                    out.flush()?;
                    thread::sleep(Duration::from_millis(200));
                }
            }
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, id: EventId, event: &[u8]) -> io::Result<()> {
    writeln!(out, "{id}  {}", String::from_utf8_lossy(event))
}

fn which(ids: Vec<EventId>) -> Which {
    if ids.is_empty() { Which::All } else { Which::Ids(ids) }
}

/// How long ago, in the largest unit that fits.
fn ago(time: SystemTime) -> String {
    let since = SystemTime::now().duration_since(time).unwrap_or_default();
    match since.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Makes a file with events that wait and dead letters, and shows each command on it.
fn demonstrate() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("orders.db");
    let closed = sink_fn(|event: &Stored<String>| match event.as_str() {
        "order 1" | "order 2" => Err(SinkError::rejected("unknown customer")),
        // The shop closes for today; what is left stays in the file.
        _ => Err(SinkError::closed()),
    });
    let queue = DurableQueue::spawn(closed, &file)?;
    for order in 1..=2 {
        queue.write(&format!("order {order}"))?;
    }
    queue.flush().wait()?;
    queue.write(&"order 3".to_owned())?;
    let kept = queue.close().wait().expect_err("order 3 is kept");
    assert_eq!(kept.undelivered(), Some(1));

    let first = Spool::open(&file)?.dead_letters().next().expect("order 1 is dead")?.id();
    for (command, action) in [
        ("stats", Action::Stats),
        ("consumers", Action::Consumers),
        ("list", Action::List { most: 100 }),
        ("history ID", Action::History { id: first }),
        ("dead", Action::Dead),
        ("replay ID", Action::Replay { ids: vec![first], consumer: None }),
        ("purge --all", Action::Purge { ids: Vec::new(), consumer: None, all: true }),
        ("tail --count 2", Action::Tail { count: Some(2) }),
        ("stats", Action::Stats),
    ] {
        println!("\n$ spool orders.db {command}");
        run(&file, action)?;
    }
    let stats = Spool::open(&file)?.stats()?;
    assert_eq!((stats.pending, stats.dead), (2, 0));
    Ok(())
}
