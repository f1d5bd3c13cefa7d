//! What a durable log costs: each figure beside its floor, in one run on one disk.
//!
//!     cargo run --release -p benches --bin log [-- --share N]
//!
//! A nats-server stands beside it, if one is in the path or `NATS_SERVER` says where it is.

#![expect(clippy::cast_precision_loss, reason = "nothing here is counted to 2^53")]

mod nats;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use benches::runtime;
use clap::Parser;
use events_core::{AsyncSink, Close, Discard, Sink, SinkError, sink_fn};
use events_durable::{DurableLog, Retention, Start, Stored};
use tokio::task::JoinSet;

/// Measures the durable log.
#[derive(Parser)]
struct Options {
    /// Writes one of so many events only: to see that it works, not how fast.
    #[arg(long, default_value_t = 1)]
    share: usize,
    /// Only what has this in its name: memory, batches, consumers, history, latency, backlog.
    #[arg(long, default_value = "")]
    only: String,
    /// Writes `benches/durable-log.md`.
    #[arg(long)]
    write: bool,
}

/// What was measured so far, a row of the table each.
static ROWS: Mutex<String> = Mutex::new(String::new());

type Event = Arc<str>;

/// A notification of 256 bytes, as JSON.
fn event() -> Event {
    "x".repeat(254).into()
}

fn main() {
    let Options { share, only, write } = Options::parse();
    let share = share.max(1);
    let runtime = runtime();
    // First, while nothing has been allocated that could be used again.
    let figures: [(&str, &dyn Fn()); 6] = [
        ("memory", &|| runtime.block_on(thousand(1_000 / share.min(10)))),
        ("batches", &|| batches(256_000 / share)),
        ("consumers", &|| runtime.block_on(consumers(64_000 / share))),
        ("history", &|| history(1_000_000 / share)),
        ("latency", &|| runtime.block_on(writes_beside_a_drain(1_000_000 / share))),
        ("backlog", &|| ten_million(10_000_000 / share)),
    ];
    for (_, figure) in figures.iter().filter(|(name, _)| name.contains(&only)) {
        figure();
    }
    if write {
        let page = page(&ROWS.lock().expect("no panic"));
        fs::write("benches/durable-log.md", page).expect("the project's root");
    }
}

fn page(rows: &str) -> String {
    format!(
        "\
# The durable log in figures

Written by `cargo run --release -p benches --bin log -- --write`; not by hand.

Events are of 256 bytes, and `Ok` once they are on the disk. Each figure stands beside what bounds it,
measured in the same run on the same disk, which is shared: ratios say more than the figures. A hundred
consumers share two cores with the writers, so that each one's time is the writers' too: beside 64 writers
they take events in long runs, beside a single one each event wakes a hundred tasks.

| | figure | | beside |
|---|---:|---|---|
{rows}"
    )
}

fn show(what: &str, figure: f64, unit: &str, beside: &str) {
    println!("{what:<46} {figure:>10.2} {unit:<10} {beside}");
    let mut rows = ROWS.lock().expect("no panic");
    writeln!(rows, "| {what} | {figure:.2} | {unit} | {beside} |")
        .expect("a string takes everything");
}

fn open(dir: &Path) -> DurableLog<Event> {
    DurableLog::open(dir.join("log")).expect("a file")
}

fn rate(events: usize, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// One writer with batches of 256, and an append of as much with an `fdatasync` each, in turn.
fn batches(events: usize) {
    let batch = vec![event(); 256];
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    log.consumer("all").spawn(Discard::new()).expect("a thread");
    let mut file = File::create(dir.path().join("raw")).expect("a file");
    let group = event().repeat(256);
    let (mut ours, mut raw) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..events.div_ceil(256) {
        let start = Instant::now();
        Sink::write(&log, batch.as_slice()).expect("a disk");
        ours += start.elapsed();
        let start = Instant::now();
        file.write_all(group.as_bytes()).expect("a disk");
        file.sync_data().expect("a disk");
        raw += start.elapsed();
    }
    log.close().wait().expect("a sink that takes everything");
    let (ours, raw) = (rate(events, ours), rate(events, raw));
    let beside = format!("{:.2} of {:.0} by a raw append", ours / raw, raw);
    show("batches of 256 by one writer", ours, "events/s", &beside);
    match nats::publish(events / 16, &event()) {
        Some(took) => {
            let theirs = rate(events / 16, took);
            let beside = format!("ours is {:.1} times as fast", ours / theirs);
            show("JetStream, synced, 256 under way", theirs, "events/s", &beside);
        }
        None => println!("JetStream: no nats-server was found"),
    }
}

/// One writer and 64, each with one consumer and then with a hundred.
async fn consumers(events: usize) {
    for writers in [1, 64] {
        let events = if writers == 1 { events / 16 } else { events };
        writers_and_consumers(writers, events).await;
    }
}

async fn writers_and_consumers(writers: usize, events: usize) {
    let mut alone = 0.0;
    for count in [1, 100] {
        let dir = tempfile::tempdir().expect("a directory");
        let log = open(dir.path());
        for number in 0..count {
            let consumer = log.consumer(format!("consumer {number}"));
            consumer.spawn_tokio(Discard::new()).expect("a runtime");
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..writers {
            let (log, event) = (log.clone(), event());
            tasks.spawn(async move {
                for _ in 0..events / writers {
                    AsyncSink::write(&log, &event).await.expect("a disk");
                }
            });
        }
        tasks.join_all().await;
        let written = rate(events, start.elapsed());
        log.close().await.expect("sinks that take everything");
        let each = start.elapsed().as_nanos() as f64 / (events * count) as f64;
        alone = if count == 1 { written } else { alone };
        let beside = format!("{:.2} of one consumer's", written / alone);
        show(&format!("writers: {writers}, consumers: {count}"), written, "events/s", &beside);
        if count > 1 {
            show("each consumer, all told", each, "ns/event", "");
        }
    }
}

fn status(field: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// Many consumers that wait: threads, and memory for each.
async fn thousand(count: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let threads = status("Threads:");
    let log = open(dir.path());
    let before = status("VmRSS:");
    for number in 0..count {
        let consumer = log.consumer(format!("consumer {number}"));
        consumer.spawn_tokio(Discard::new()).expect("a runtime");
    }
    AsyncSink::write(&log, &event()).await.expect("a disk");
    let memory = (status("VmRSS:") - before) * 1024.0 / count as f64;
    let threads = status("Threads:") - threads;
    show(&format!("{count} consumers"), memory, "bytes each", &format!("and {threads} threads"));
    log.close().await.expect("sinks that take everything");
}

/// A late reader of what was written.
fn history(events: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let builder = DurableLog::<Event>::builder(dir.path().join("log"));
    let log = builder.retention(Retention::age(Duration::from_hours(1))).open().expect("a file");
    let batch = vec![event(); 1_000];
    for _ in 0..events.div_ceil(1_000) {
        Sink::write(&log, batch.as_slice()).expect("a disk");
    }
    let start = Instant::now();
    let count = log.read(Start::Earliest).expect("a file").history().flatten().count();
    show("a late reader", rate(count, start.elapsed()), "events/s", &format!("of {count}"));
    log.close().wait().expect("no consumer");
}

/// The 99th of a hundred of what single writes take.
async fn percentile(log: &DurableLog<Event>, writes: usize) -> f64 {
    let event = event();
    let mut times = Vec::with_capacity(writes);
    for _ in 0..writes {
        let start = Instant::now();
        AsyncSink::write(log, &event).await.expect("a disk");
        times.push(start.elapsed());
    }
    times.sort();
    times[times.len() * 99 / 100].as_secs_f64() * 1e3
}

/// Single writes to an idle log, and while a backlog drains.
async fn writes_beside_a_drain(backlog: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let log = open(dir.path());
    let idle = percentile(&log, 1_000).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (open, drained) = (Arc::clone(&gate), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&drained);
    let sink = sink_fn(move |_: &Stored<Event>| {
        let (open, count) = (Arc::clone(&open), Arc::clone(&count));
        async move {
            drop(open.acquire().await);
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<(), SinkError>(())
        }
    });
    let consumer = log.consumer("slow").spawn_tokio(sink).expect("a runtime");
    let batch = vec![event(); 1_000];
    for _ in 0..backlog.div_ceil(1_000) {
        AsyncSink::write(&log, batch.as_slice()).await.expect("a disk");
    }
    gate.add_permits(1);
    let mut all = Vec::new();
    while consumer.stats().pending > 1_000 {
        all.push(percentile(&log, 100).await);
    }
    all.sort_by(f64::total_cmp);
    let busy = all.get(all.len() / 2).copied().unwrap_or(f64::NAN);
    let beside = format!("{:.2} of {idle:.2} ms when idle", busy / idle);
    show("99th percentile of a write beside a drain", busy, "ms", &beside);
    log.close().await.expect("a sink that takes everything");
}

/// A large backlog: opened, and drained.
fn ten_million(events: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let batch = vec![event(); 1_000];
    let log = open(dir.path());
    let stuck = log.consumer("all").spawn(Discard::new()).expect("a thread");
    stuck.pause();
    for _ in 0..events.div_ceil(1_000) {
        Sink::write(&log, batch.as_slice()).expect("a disk");
    }
    drop(log.close_within(Duration::ZERO).wait());
    let size =
        |dir: &Path| fs::metadata(dir.join("log")).map_or(f64::NAN, |file| file.len() as f64 / 1e6);
    let (full, memory) = (size(dir.path()), status("VmRSS:"));
    let start = Instant::now();
    let log = open(dir.path());
    let consumer = log.consumer("all").spawn(Discard::new()).expect("a thread");
    show(
        "a large backlog opened",
        start.elapsed().as_secs_f64() * 1e3,
        "ms",
        &format!("{events} events"),
    );
    let start = Instant::now();
    consumer.flush().wait().expect("a sink that takes everything");
    show("and drained", rate(events, start.elapsed()), "events/s", "");
    log.close().wait().expect("a sink that takes everything");
    let grown = (status("VmRSS:") - memory) / 1024.0;
    let beside = format!("from {full:.0} MB; memory grew by {grown:.1} MB");
    show("the file then", size(dir.path()), "MB", &beside);
}
