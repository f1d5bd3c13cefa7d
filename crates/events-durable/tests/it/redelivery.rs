//! An event that failed is parked on the disk, and the others go on.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use events_core::{Breaker, Close, ErrorKind, Sink, SinkError, sink_fn};
use events_durable::{DurableLog, DurableQueue, Schedule, Spool, Stored, Which, history::State};
use parking_lot::Mutex;

use crate::support::{Kept, Place, place};

fn log(place: &Place) -> DurableLog<u64> {
    DurableLog::open(&place.path).unwrap()
}

fn later() -> Schedule {
    Schedule::delays([Duration::from_hours(1); 3])
}

fn soon(attempts: u32) -> Schedule {
    let wait = Duration::from_millis(1);
    Schedule::exponential(wait, wait).attempts(attempts)
}

/// Fails odd numbers as long as it is down.
fn flaky(kept: &Kept, down: &Arc<AtomicBool>) -> impl Sink<Stored<u64>> + 'static {
    let (kept, down) = (kept.clone(), Arc::clone(down));
    sink_fn(move |event: &Stored<u64>| {
        if **event % 2 == 1 && down.load(Ordering::Relaxed) {
            return Err(SinkError::unavailable("503"));
        }
        kept.write(event)
    })
}

#[test]
fn the_others_go_on_and_what_is_parked_survives_with_its_attempts() {
    let place = place();
    let (kept, down) = (Kept::default(), Arc::new(AtomicBool::new(true)));
    let first = log(&place);
    let hooks = first.consumer("hooks").redeliver(later()).spawn(flaky(&kept, &down)).unwrap();
    for number in 0..1_000 {
        Sink::write(&first, &number).unwrap();
    }
    let error = first.close_within(Duration::from_secs(2)).wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(500)));
    assert_eq!(kept.numbers(), (0..1_000).step_by(2).collect::<Vec<_>>());
    let stats = hooks.stats();
    assert_eq!(
        (stats.delivered, stats.pending, stats.parked, stats.attempts),
        (500, 500, 500, 1_000)
    );
    assert!(stats.next_due.is_some_and(|due| due > Duration::from_mins(50)), "{stats:?}");

    let consumer = Spool::open(&place.path).unwrap().consumers().unwrap().remove(0);
    assert_eq!((consumer.waiting, consumer.parked, consumer.dead), (0, 500, 0));
    place.tamper("UPDATE durable_deliveries SET due = 0");
    let again = log(&place);
    let hooks = again.consumer("hooks").redeliver(soon(2)).spawn(flaky(&kept, &down)).unwrap();
    hooks.flush().wait().unwrap();
    // The second attempt was the last.
    let dead: Vec<_> = hooks.dead_letters().unwrap().map(Result::unwrap).collect();
    assert_eq!(dead.len(), 500);
    assert!(dead.iter().all(|dead| dead.attempts() == 2 && dead.consumer() == "hooks"));
    assert!(dead.iter().all(|dead| dead.first_failed() < dead.last_failed()));
    let history = again.history(dead[0].id()).unwrap().unwrap();
    let standing = &history.consumers[0];
    assert_eq!((&*standing.consumer, standing.state), ("hooks", State::Dead));
    let attempts: Vec<_> = standing.attempts.iter().map(|one| (one.number, &*one.error)).collect();
    let error = "the sink is unavailable: 503";
    assert_eq!(attempts, [(1, error), (2, error)]);

    down.store(false, Ordering::Relaxed);
    assert_eq!(hooks.replay(Which::All).wait().unwrap(), 500);
    again.close().wait().unwrap();
    let mut numbers = kept.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    assert_eq!(place.ask::<u64>("SELECT count(*) FROM durable_events"), 0);
    assert_eq!(place.ask::<u64>("SELECT count(*) FROM durable_attempts"), 0);
}

/// Fails each event so often as its number says, and keeps what it took by key.
struct Reluctant {
    failures: Mutex<HashMap<u64, u64>>,
    taken: Mutex<HashMap<u64, Vec<u64>>>,
}

impl Reluctant {
    fn sink(self: &Arc<Self>) -> impl Sink<Stored<u64>> + 'static {
        let this = Arc::clone(self);
        sink_fn(move |event: &Stored<u64>| {
            let number = **event;
            let mut failures = this.failures.lock();
            let failed = failures.entry(number).or_default();
            if *failed < number % 4 {
                *failed += 1;
                assert_eq!(u64::from(event.attempts()) + 1, *failed);
                return Err(SinkError::unavailable("not yet"));
            }
            drop(failures);
            this.taken.lock().entry(number % 10).or_default().push(number);
            Ok(())
        })
    }
}

#[test]
fn events_of_one_key_stay_in_order_whoever_is_parked() {
    let place = place();
    let reluctant = Arc::new(Reluctant { failures: Mutex::default(), taken: Mutex::default() });
    let log = log(&place);
    let hooks = log
        .consumer("hooks")
        .concurrency(4)
        .ordered_by(|number: &u64| number % 10)
        .redeliver(soon(10))
        .spawn(reluctant.sink())
        .unwrap();
    for number in 0..300 {
        Sink::write(&log, &number).unwrap();
    }
    log.close().wait().unwrap();
    assert_eq!((hooks.stats().delivered, hooks.stats().pending), (300, 0));
    for (key, taken) in reluctant.taken.lock().iter() {
        assert_eq!(*taken, (*key..300).step_by(10).collect::<Vec<_>>());
    }
}

#[test]
fn a_key_that_waits_is_in_order_in_the_next_run_too() {
    let place = place();
    let (kept, down) = (Kept::default(), Arc::new(AtomicBool::new(true)));
    let first = log(&place);
    let key = |number: &u64| number % 3;
    let hooks = first.consumer("hooks").concurrency(4).ordered_by(key).redeliver(later());
    let hooks = hooks.spawn(flaky(&kept, &down)).unwrap();
    for number in 0..30 {
        Sink::write(&first, &number).unwrap();
    }
    // Of each key the first odd number is parked, and all behind it wait.
    first.close_within(Duration::from_secs(1)).wait().unwrap_err();
    let mut delivered = kept.numbers();
    delivered.sort_unstable();
    assert_eq!(delivered, [0, 2]);
    assert_eq!((hooks.stats().pending, hooks.stats().attempts), (28, 5));
    place.tamper("UPDATE durable_deliveries SET due = 0");
    down.store(false, Ordering::Relaxed);
    let again = log(&place);
    let hooks = again.consumer("hooks").concurrency(4).ordered_by(key).redeliver(later());
    hooks.spawn(flaky(&kept, &down)).unwrap();
    for number in 30..60 {
        Sink::write(&again, &number).unwrap();
    }
    again.close().wait().unwrap();
    for of in 0..3 {
        let numbers: Vec<_> =
            kept.numbers().into_iter().filter(|number| number % 3 == of).collect();
        assert_eq!(numbers, (of..60).step_by(3).collect::<Vec<_>>());
    }
}

#[test]
fn while_the_destination_is_down_no_event_spends_its_attempts() {
    let place = place();
    let down = Arc::new(AtomicBool::new(true));
    let kept = Kept::default();
    let sink = {
        let (kept, down, calls) = (kept.clone(), Arc::clone(&down), Mutex::new(0));
        sink_fn(move |event: &Stored<u64>| {
            let mut calls = calls.lock();
            *calls += 1;
            if *calls == 12 {
                down.store(false, Ordering::Relaxed);
            }
            if down.load(Ordering::Relaxed) {
                return Err(SinkError::unavailable("down"));
            }
            kept.write(event)
        })
    };
    let log = log(&place);
    let breaker = Breaker::new(3, Duration::from_millis(1)).unwrap();
    let hooks = log.consumer("hooks").redeliver(soon(4)).circuit(breaker).spawn(sink).unwrap();
    for number in 0..50 {
        Sink::write(&log, &number).unwrap();
    }
    log.close().wait().unwrap();
    let mut numbers = kept.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert_eq!(hooks.stats().failed, 0);
}

#[test]
fn a_destination_that_fails_for_too_long_disables_its_consumer() {
    let place = place();
    let log = log(&place);
    let down = sink_fn(|_: &Stored<u64>| Err(SinkError::unavailable("down")));
    let limit = Duration::from_millis(5);
    let hooks = log.consumer("hooks").redeliver(soon(u32::MAX)).disable_after(limit);
    let hooks = hooks.spawn(down).unwrap();
    Sink::write(&log, &1).unwrap();
    // It ends because it is disabled: otherwise it would wait for ever.
    while hooks.mode() != events_durable::Mode::Disabled {
        std::thread::yield_now();
    }
    assert_eq!(log.close().wait().unwrap_err().undelivered(), Some(1));
    let consumer = Spool::open(&place.path).unwrap().consumers().unwrap().remove(0);
    assert!(consumer.disabled && consumer.parked == 1, "{consumer:?}");
}

#[test]
fn of_a_batch_only_those_that_failed_are_parked() {
    let place = place();
    let kept = Kept::default();
    let sink = {
        let kept = kept.clone();
        sink_fn(move |batch: &[Stored<u64>]| {
            let mut failures = Vec::new();
            for (at, event) in batch.iter().enumerate() {
                if **event % 10 == 7 && event.attempts() < 2 {
                    failures.push((at, SinkError::unavailable("not yet")));
                } else {
                    kept.write(event)?;
                }
            }
            SinkError::of_batch(failures).map_or(Ok(()), Err)
        })
    };
    let queue = DurableQueue::builder(&place.path)
        .batch(16, Duration::ZERO)
        .redeliver(soon(5))
        .spawn(sink)
        .unwrap();
    let numbers: Vec<u64> = (0..200).collect();
    Sink::write(&queue, numbers.as_slice()).unwrap();
    queue.close().wait().unwrap();
    let mut taken = kept.numbers();
    taken.sort_unstable();
    assert_eq!(taken, numbers);
    assert_eq!(queue.stats().attempts, 240);
}
