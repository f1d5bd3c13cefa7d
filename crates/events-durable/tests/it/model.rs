//! Random logs against what must become of each event: every consumer has every event once, or as a
//! dead letter, in order where that is promised, whatever fails and however runs end.
//!
//! A seed that fails is printed, and run again with `EVENTS_DURABLE_SEED`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Duration,
};

use events_core::{Breaker, Close, Sink, SinkError, sink_fn};
use events_durable::{
    Consumer, ConsumerBuilder, Durability, DurableLog, OpenErrorKind, Schedule, Single, Spool,
    Stored,
};
use fastrand::Rng;
use parking_lot::Mutex;

use crate::support::{Place, place};

const NAMES: [&str; 3] = ["one", "two", "three"];
const KEYS: u64 = 5;

#[test]
fn whatever_fails_each_consumer_has_every_event_once() {
    let given = env::var("EVENTS_DURABLE_SEED").ok().map(|seed| seed.parse().unwrap());
    let runs = env::var("EVENTS_DURABLE_MODELS").map_or(40, |runs| runs.parse().unwrap());
    let seeds: Vec<u64> = given.map_or_else(
        || std::iter::repeat_with(|| fastrand::u64(..)).take(runs).collect(),
        |seed| vec![seed],
    );
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("EVENTS_DURABLE_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// How a consumer is set up, for all its runs.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// In order, and what fails is waited for.
    InLine,
    /// In order, but for what fails.
    Parked,
    /// Several at a time, in the order of each key.
    Keyed,
    /// Several at a time.
    Wild,
}

/// What an event does at a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is taken after so many failures.
    Fails(u32),
    Rejected,
    Panics,
}

/// What a consumer's destination has seen, over all runs.
struct Destination {
    manner: Manner,
    seed: u64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    failures: HashMap<u64, u32>,
    taken: Vec<u64>,
    refused: BTreeSet<u64>,
}

impl Destination {
    fn fate(&self, number: u64) -> Fate {
        match Rng::with_seed(self.seed ^ (number * 0x9e37_79b9)).u32(0..100) {
            0..2 => Fate::Rejected,
            2..3 => Fate::Panics,
            3..12 => Fate::Fails(1),
            12..16 => Fate::Fails(3),
            _ => Fate::Fails(0),
        }
    }

    fn take(&self, event: &Stored<u64>) -> Result<(), SinkError> {
        let number = **event;
        let mut seen = self.seen.lock();
        match self.fate(number) {
            Fate::Rejected => {
                seen.refused.insert(number);
                Err(SinkError::rejected("no"))
            }
            Fate::Panics => {
                seen.refused.insert(number);
                drop(seen);
                // Without a word in the test's output.
                resume_unwind(Box::new("the destination panics"));
            }
            Fate::Fails(times) => {
                let failed = seen.failures.entry(number).or_default();
                if *failed < times {
                    *failed += 1;
                    return Err(SinkError::unavailable("not yet"));
                }
                seen.taken.push(number);
                Ok(())
            }
        }
    }

    /// How many events it has in hand at most.
    const fn in_hand(&self) -> usize {
        match self.manner {
            Manner::InLine | Manner::Parked => 1,
            Manner::Keyed | Manner::Wild => 4,
        }
    }
}

fn start(log: &DurableLog<u64>, name: &str, to: &Arc<Destination>) -> Consumer<u64> {
    let destination = Arc::clone(to);
    let sink = sink_fn(move |event: &Stored<u64>| destination.take(event));
    let builder: ConsumerBuilder<u64, Single> = log.consumer(name);
    let soon = Schedule::delays([Duration::from_millis(1); 5]);
    let builder = match to.manner {
        Manner::InLine => builder.retry(Breaker::new(1, Duration::from_micros(100)).unwrap()),
        Manner::Parked => builder.redeliver(soon),
        Manner::Keyed => {
            builder.concurrency(4).ordered_by(|number: &u64| number % KEYS).redeliver(soon)
        }
        Manner::Wild => builder.concurrency(4).redeliver(soon),
    };
    builder.spawn(sink).unwrap()
}

/// As soon as the run before has ended.
fn open(place: &Place) -> DurableLog<u64> {
    loop {
        let log = DurableLog::builder(&place.path).durability(Durability::Normal).open();
        match log {
            Ok(log) => return log,
            Err(error) => assert_eq!(error.kind(), OpenErrorKind::InUse, "{error:?}"),
        }
        std::thread::yield_now();
    }
}

fn check(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let place = place();
    let manners = [Manner::InLine, Manner::Parked, Manner::Keyed, Manner::Wild];
    let destinations = NAMES.map(|_| {
        let manner = manners[random.usize(0..manners.len())];
        Arc::new(Destination { manner, seed: random.u64(..), seen: Mutex::default() })
    });
    let mut written = 0;
    let mut sudden_ends = 0;
    for _ in 0..random.usize(1..5) {
        let log = open(&place);
        let consumers: Vec<_> =
            NAMES.iter().zip(&destinations).map(|(name, to)| start(&log, name, to)).collect();
        for _ in 0..random.usize(0..20) {
            match random.u32(0..10) {
                0 => consumers[random.usize(0..3)].pause(),
                1 => consumers.iter().for_each(Consumer::resume),
                2 => {
                    consumers.iter().for_each(Consumer::resume);
                    consumers[random.usize(0..3)].flush().wait().unwrap();
                }
                3..6 => {
                    let batch: Vec<u64> = (written..written + random.u64(1..60)).collect();
                    Sink::write(&log, batch.as_slice()).unwrap();
                    written += batch.len() as u64;
                }
                _ => {
                    Sink::write(&log, &written).unwrap();
                    written += 1;
                }
            }
        }
        let end = random.u32(0..4);
        match end {
            0 => log.close().wait().unwrap(),
            1 => drop(log.close_within(Duration::from_millis(random.u64(0..5))).wait()),
            2 => {
                log.abort();
                drop(log.close().wait());
            }
            // It goes on delivering until all is delivered.
            _ => {}
        }
        sudden_ends += usize::from(matches!(end, 1 | 2));
        if end < 3 {
            for consumer in &consumers {
                let stats = consumer.stats();
                let settled = stats.delivered + stats.failed + stats.dropped.total();
                assert_eq!(stats.accepted, settled + stats.pending, "{stats:?}");
            }
        }
    }
    let log = open(&place);
    for (name, to) in NAMES.iter().zip(&destinations) {
        start(&log, name, to);
    }
    log.close().wait().unwrap();
    for (name, to) in NAMES.iter().zip(&destinations) {
        check_consumer(&place, name, to, written, sudden_ends);
    }
}

fn check_consumer(place: &Place, name: &str, to: &Destination, written: u64, sudden_ends: usize) {
    let seen = to.seen.lock();
    let what = format!("{name}, {:?}", to.manner);
    let expected_dead: BTreeSet<u64> =
        (0..written).filter(|number| !matches!(to.fate(*number), Fate::Fails(_))).collect();
    let dead = Spool::open(&place.path).unwrap().dead_letters_of(name);
    let dead: BTreeSet<u64> = dead.map(|dead| dead.unwrap().event().unwrap()).collect();
    assert_eq!(dead, expected_dead, "{what}: dead letters");
    assert_eq!(seen.refused, expected_dead, "{what}: refused");

    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    let mut firsts = Vec::new();
    for number in &seen.taken {
        let count = times.entry(*number).or_default();
        *count += 1;
        if *count == 1 {
            firsts.push(*number);
        }
    }
    let expected: Vec<u64> = (0..written).filter(|number| !dead.contains(number)).collect();
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), expected, "{what}: delivered");
    let repeats = seen.taken.len() - firsts.len();
    assert!(repeats <= sudden_ends * to.in_hand(), "{what}: {repeats} repeats");
    match to.manner {
        Manner::InLine => assert!(firsts.is_sorted(), "{what}: {firsts:?}"),
        Manner::Keyed => {
            for key in 0..KEYS {
                let of_key: Vec<_> = firsts.iter().filter(|number| *number % KEYS == key).collect();
                assert!(of_key.is_sorted(), "{what}: {of_key:?}");
            }
        }
        Manner::Parked | Manner::Wild => {}
    }
}
