//! A process with one log and several consumers is killed at random moments, again and again: each
//! consumer must get what the writers were told is written, in order where that is promised, and
//! what had failed must go on where it stood.
//!
//! The victim is this very test program, told by an environment variable to be one. It journals what
//! each writer was told, and what each consumer got, to files, which a kill cannot take back.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use events_core::{Close, Sink, SinkError, sink_fn};
use events_durable::{DurableLog, Schedule, Stored};
use parking_lot::Mutex;
use tempfile::TempDir;

const WRITERS: u64 = 4;
const DIR: &str = "EVENTS_DURABLE_LOG_VICTIM";
const SEED: u64 = 0xfeed;
/// The consumers that live through all kills.
const CONSUMERS: [&str; 3] = ["slow", "flaky", "keyed"];

/// A writer's number, and that of its event.
type Numbered = (u64, u64);

fn rounds() -> u64 {
    env::var("EVENTS_DURABLE_KILLS").map_or(10, |rounds| rounds.parse().unwrap())
}

#[test]
fn killed_at_random_moments_it_loses_nothing_for_any_consumer() {
    let dir = TempDir::new().unwrap();
    let mut random = fastrand::Rng::with_seed(SEED);
    for _ in 0..rounds() {
        kill_one(dir.path(), &mut random);
    }
    let log = open(dir.path());
    let consumers = consumers(&log, dir.path());
    log.close().wait().unwrap();
    for consumer in &consumers {
        let stats = consumer.stats();
        assert_eq!((stats.pending, stats.failed), (0, 0), "{}", consumer.name());
    }
    drop((log, consumers));
    check(dir.path());
}

/// Not a test of its own: what the test above starts as a process, and kills.
#[test]
fn log_victim() {
    let Ok(dir) = env::var(DIR) else { return };
    let dir = PathBuf::from(dir);
    let log = open(&dir);
    let _consumers = consumers(&log, &dir);
    println!("writing");
    for writer in 0..WRITERS {
        let (log, path) = (log.clone(), journal(&dir, &format!("writer-{writer}")));
        // One goes on where the last run got to; a number that it was not told of is used again.
        let first = lines(&path).last().map_or(0, |line| line[0] + 1);
        let mut journal = append(&path);
        thread::spawn(move || {
            for number in first.. {
                if Sink::write(&log, &(writer, number)).is_ok() {
                    journal.write_all(format!("{number}\n").as_bytes()).unwrap();
                }
            }
        });
    }
    // Guests come and go meanwhile.
    for guest in 0_u64.. {
        let name = format!("guest {}", guest % 3);
        let consumer = log.consumer(name).spawn(sink_fn(|_: &Stored<Numbered>| Ok(()))).unwrap();
        thread::sleep(Duration::from_millis(2));
        if guest % 2 == 0 {
            consumer.delete().wait().unwrap();
        } else {
            let _whatever_is_left = consumer.close_within(Duration::ZERO).wait();
        }
    }
}

fn open(dir: &Path) -> DurableLog<Numbered> {
    let log = DurableLog::open(dir.join("log.db")).unwrap();
    for guest in 0..3 {
        log.delete_consumer(format!("guest {guest}")).wait().unwrap();
    }
    log
}

/// One that is slow and in order, one that fails and delivers again, and one that delivers several
/// at a time, in order for each writer.
fn consumers(log: &DurableLog<Numbered>, dir: &Path) -> Vec<events_durable::Consumer<Numbered>> {
    let write = |name: &str| {
        let journal = Mutex::new(append(&journal(dir, name)));
        move |event: &Stored<Numbered>| {
            let (id, attempts) = (event.id().number(), event.attempts());
            let line = format!("{id} {} {} {attempts}\n", event.0, event.1);
            journal.lock().write_all(line.as_bytes()).map_err(SinkError::unavailable)
        }
    };
    let (slow, flaky, keyed) = (write("slow"), write("flaky"), write("keyed"));
    let failures = write("failures");
    let slow = sink_fn(move |event: &Stored<Numbered>| {
        thread::sleep(Duration::from_micros(200));
        slow(event)
    });
    // Every seventh event fails five times.
    let flaky = sink_fn(move |event: &Stored<Numbered>| {
        if event.id().number().is_multiple_of(7) && event.attempts() < 5 {
            failures(event)?;
            return Err(SinkError::unavailable("not yet"));
        }
        flaky(event)
    });
    let keyed = sink_fn(move |event: &Stored<Numbered>| keyed(event));
    let soon = Schedule::delays([Duration::from_millis(20); 9]);
    vec![
        log.consumer("slow").spawn(slow).unwrap(),
        log.consumer("flaky").redeliver(soon.clone()).spawn(flaky).unwrap(),
        log.consumer("keyed")
            .concurrency(4)
            .ordered_by(|(writer, _): &Numbered| *writer)
            .redeliver(soon)
            .spawn(keyed)
            .unwrap(),
    ]
}

/// Starts a victim, lets it work for a moment, and kills it.
fn kill_one(dir: &Path, random: &mut fastrand::Rng) {
    let mut command = Command::new(env::current_exe().unwrap());
    let arguments = ["--exact", "kill_log::log_victim", "--nocapture"];
    command.args(arguments).env(DIR, dir).stdout(Stdio::piped());
    let mut victim = Killed(command.spawn().unwrap());
    let mut lines = BufReader::new(victim.0.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("writing")), "the victim died by itself");
    thread::sleep(Duration::from_micros(random.u64(0..150_000)));
    assert!(victim.0.try_wait().unwrap().is_none(), "the victim died by itself");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // On Unix this is SIGKILL.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn journal(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// The numbers in the lines of a journal; a last line that was cut off does not count.
fn lines(path: &Path) -> Vec<Vec<u64>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| line.trim().split(' ').map(|field| field.parse().unwrap()).collect()).collect()
}

/// Whether each consumer has everything that a writer was told is written, in order.
fn check(dir: &Path) {
    let mut written = 0;
    for consumer in CONSUMERS {
        let got = lines(&journal(dir, consumer));
        let mut firsts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for line in &got {
            if seen.insert(line[0]) {
                firsts.entry(line[1]).or_default().push(line[2]);
            }
        }
        written = 0;
        for writer in 0..WRITERS {
            let told = lines(&journal(dir, &format!("writer-{writer}")));
            let mut got = firsts.remove(&writer).unwrap_or_default();
            if consumer != "flaky" {
                assert!(got.is_sorted(), "{consumer}, writer {writer}: out of order");
            }
            got.sort_unstable();
            let missing = told.iter().filter(|line| got.binary_search(&line[0]).is_err()).count();
            assert_eq!(missing, 0, "{consumer} lost {missing} of writer {writer}");
            written += told.len();
        }
    }
    assert!(written > 0);
    // An attempt is counted on from where it stood: number five comes after number four, in
    // whatever run that was, and no event began anew after a run that knew of it for long.
    let mut attempts: BTreeMap<u64, u64> = BTreeMap::new();
    for line in lines(&journal(dir, "failures")) {
        let next = attempts.entry(line[0]).or_default();
        assert!(line[3] <= *next, "event {} skipped an attempt", line[0]);
        *next = (*next).max(line[3] + 1);
    }
    let all = lines(&journal(dir, "flaky"));
    let sevenths = all.iter().filter(|line| line[0] % 7 == 0);
    assert!(sevenths.clone().count() > 0);
    assert!(sevenths.clone().all(|line| line[3] == 5));
    println!("{} kills, {written} events, 3 consumers, 0 lost", rounds());
}
