//! Relays events, one JSON object a line, to HTTP endpoints, and accounts for every one.
//!
//! ```text
//! Source ─▶ Broadcaster ─┬─▶ Filter ─▶ Queue ║ Retry ─▶ HttpSink
//!  (a thread)            └─▶ Filter ─▶ Queue ║ Retry ─▶ HttpSink
//! ```
//!
//! `endpoint.rs` builds one of these lines, with a queue on the disk if asked for; `--help` tells
//! what can be asked for.

#![expect(unreachable_pub, reason = "in a program, `pub` says what a module shows to the others")]

mod account;
mod args;
mod backlog;
mod builtin;
mod config;
mod endpoint;
mod interrupt;
mod notification;
mod patience;
mod progress;
mod reading;
mod receiver;
mod source;

use std::{fs, process, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use clap::Parser;
use events_broadcast::Broadcaster;
use events_core::{Close, Closing};

use account::Account;
use args::Args;
use builtin::BuiltIn;
use config::Settings;
use endpoint::Endpoint;
use interrupt::Interrupts;
use progress::Progress;
use reading::Reading;
use source::Source;

/// What the endpoints have left after Ctrl-C. Ending those that are stuck takes a moment more, and
/// all of it is to be over in ten seconds.
const LAST_CHANCE: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    let args = Args::parse();
    match relay(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every line was an event and reached all who should have it. An error means that nothing
/// was started.
#[tokio::main]
async fn relay(args: &Args) -> anyhow::Result<bool> {
    let source = Source::open(args.input.as_ref())?;
    let all = Broadcaster::new();
    let builtin = if args.to.is_empty() && args.config.is_none() {
        Some(BuiltIn::start(args.seed, &all).await?)
    } else {
        None
    };
    let spool = args.spool.as_deref();
    if let Some(dir) = spool {
        fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    }
    let endpoints = settings(args, builtin.as_ref())?
        .iter()
        .map(|settings| Endpoint::start(settings, args.capacity, spool, &all))
        .collect::<anyhow::Result<Arc<[_]>>>()?;

    let interrupts = Interrupts::listen().context("cannot listen for Ctrl-C")?;
    let progress = Arc::new(Progress::start(Arc::clone(&endpoints), args.json));
    let (reading, end) = Reading::start(source, all.clone(), Arc::clone(&progress))
        .context("cannot start a thread")?;

    let read = tokio::select! {
        read = async {
            let read = end.await;
            endpoints.iter().for_each(Endpoint::input_ended);
            // What a close has to tell is in the accounts.
            drop(all.close().await);
            read.context("the reader died")?.context("cannot read the input")
        } => read,
        () = interrupted(interrupts, &progress) => {
            reading.stop();
            if spool.is_some() {
                // The disk has room for the event that is being written, so there is no long wait,
                // and it is kept like the others.
                reading.counts();
            }
            // Not the broadcaster, so that an event it is handing out gets into every account.
            let queues = endpoints.iter().map(|endpoint| endpoint.close_within(LAST_CHANCE));
            drop(Closing::all(queues).await);
            Ok(())
        }
    };

    progress.finish();
    let counts = reading.counts();
    let account = Account::new(counts.events, counts.malformed, &endpoints);
    if args.json {
        println!("{}", serde_json::to_string(&account)?);
    } else {
        println!("{account}");
    }
    let read = read.inspect_err(|error| eprintln!("{error:#}")).is_ok();
    endpoints.iter().for_each(explain);
    if let Some(dir) = spool {
        let ours: Vec<_> =
            endpoints.iter().filter_map(|endpoint| endpoint.spool.as_deref()).collect();
        for (file, pending) in backlog::others(dir, &ours) {
            eprintln!(
                "{pending} more wait in {}, for an endpoint that is not here",
                file.display()
            );
        }
    }
    let complete = builtin.is_none_or(|builtin| match builtin.check() {
        Ok(praise) => {
            if !args.json {
                println!("{praise}");
            }
            true
        }
        Err(problem) => {
            eprintln!("{problem}");
            false
        }
    });
    Ok(read && complete && account.is_clean())
}

/// The endpoints that the arguments name, or else those built in.
fn settings(args: &Args, builtin: Option<&BuiltIn>) -> anyhow::Result<Vec<Settings>> {
    let mut settings = match (&args.config, builtin) {
        (Some(path), _) => config::read(path)?,
        (None, Some(builtin)) => builtin.endpoints(),
        (None, None) => Vec::new(),
    };
    settings.extend(args.to.iter().map(|url| Settings::to(url)));
    ensure!(!settings.is_empty(), "no endpoint to relay to: none is listed that is not disabled");
    config::name_all(&mut settings)?;
    Ok(settings)
}

/// The first Ctrl-C. From then on the next one ends the program at once.
async fn interrupted(mut interrupts: Interrupts, progress: &Progress) {
    interrupts.next().await;
    progress.note("stopping, within 10 seconds; Ctrl-C again to stop at once");
    tokio::spawn(async move {
        interrupts.next().await;
        process::exit(130);
    });
}

/// Says what an endpoint did not take, and why.
fn explain(endpoint: &Endpoint) {
    let entry = endpoint.entry();
    let cause = endpoint.first_error().map(anyhow::Error::from);
    let cause = cause.map(|cause| format!(", at first because {cause:#}")).unwrap_or_default();
    if entry.dropped > 0 {
        eprintln!("{}: {} left undelivered", entry.name, entry.dropped);
    }
    if entry.failed > 0 {
        eprintln!("{}: {} failed{cause}", entry.name, entry.failed);
    }
    if let (Some(kept @ 1..), Some(file)) = (entry.kept, &endpoint.spool) {
        let (name, file) = (entry.name, file.display());
        eprintln!("{name}: {kept} stay in {file} for the next run{cause}");
    }
}
