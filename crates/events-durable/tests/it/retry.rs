//! A destination that is unavailable is waited for: nothing is lost, and nothing overtakes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use events_core::{
    Breaker, Close, ErrorKind, MaxAttempts, Progress, RetryStrategy, Sink, SinkError, Verdict,
    sink_fn,
};
use events_durable::{Builder, DurableQueue, Single, Spool, Stored};
use events_retry::Retry;

use crate::support::{Kept, Place, place, queue};

fn builder(place: &Place) -> Builder<u64, Single> {
    DurableQueue::builder(&place.path).retry(Breaker::new(1, Duration::from_millis(1)).unwrap())
}

fn down() -> SinkError {
    SinkError::unavailable("no route to host")
}

/// What is in the file: events that wait, and dead letters.
fn left(place: &Place) -> (u64, u64) {
    let stats = Spool::open(&place.path).unwrap().stats().unwrap();
    (stats.pending, stats.dead)
}

/// Fails each event twice.
fn flaky(kept: &Kept) -> impl Sink<Stored<u64>> + 'static {
    let (kept, calls) = (kept.clone(), AtomicU32::new(0));
    sink_fn(move |event: &Stored<u64>| match calls.fetch_add(1, Ordering::Relaxed) % 3 {
        0 => Err(down()),
        1 => Err(SinkError::full()),
        _ => kept.write(event),
    })
}

#[test]
fn what_the_sink_may_take_later_is_tried_again_and_nothing_overtakes_it() {
    let place = place();
    let kept = Kept::default();
    let queue = builder(&place).spawn(flaky(&kept)).unwrap();
    for number in 0..20 {
        queue.write(&number).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(kept.numbers(), (0..20).collect::<Vec<_>>());
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed, stats.pending), (20, 20, 0, 0));
    assert_eq!(left(&place), (0, 0));
}

/// A sink that is never available, and tells of each attempt.
fn never() -> (impl Sink<Stored<u64>> + 'static, mpsc::Receiver<u64>) {
    let (tell, told) = mpsc::channel();
    let sink = sink_fn(move |event: &Stored<u64>| {
        let _ = tell.send(**event);
        Err(down())
    });
    (sink, told)
}

#[test]
fn unless_told_otherwise_it_waits_and_a_deadline_ends_that_with_all_events_kept() {
    let place = place();
    let (sink, told) = never();
    let first = queue(&place, sink);
    first.write(&0).unwrap();
    first.write(&1).unwrap();
    assert_eq!(told.recv().unwrap(), 0);
    let error = first.close_within(Duration::ZERO).wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(2)));
    assert_eq!(left(&place), (2, 0));
    assert!(!told.try_iter().any(|number| number == 1), "the second never passes the first");

    let kept = Kept::default();
    queue(&place, kept.clone()).close().wait().unwrap();
    assert_eq!(kept.numbers(), [0, 1]);
}

/// One attempt, then a day of waiting, of which it tells.
struct Day(mpsc::Sender<()>);

impl<E: ?Sized> RetryStrategy<E> for Day {
    fn proceed(&self, _: &E, progress: &Progress) -> Verdict {
        if progress.attempts() == 0 {
            return Verdict::Go;
        }
        self.0.send(()).unwrap();
        Verdict::Wait(Duration::from_hours(24))
    }
}

#[test]
fn an_abort_ends_a_wait_of_a_day() {
    let place = place();
    let (tell, waits) = mpsc::channel();
    let builder = DurableQueue::builder(&place.path).retry(Day(tell));
    let queue = builder.spawn(never().0).unwrap();
    queue.write(&0).unwrap();
    waits.recv().unwrap();
    queue.abort();
    assert_eq!(queue.close().wait().unwrap_err().undelivered(), Some(1));
    assert_eq!(left(&place), (1, 0));
}

#[test]
fn what_the_strategy_gives_up_is_a_dead_letter_and_the_next_is_delivered() {
    for once in [false, true] {
        let place = place();
        let (attempts, kept) = (Arc::new(AtomicU32::new(0)), Kept::default());
        let (counted, inner) = (Arc::clone(&attempts), kept.clone());
        let sink = sink_fn(move |event: &Stored<u64>| {
            if **event == 0 {
                counted.fetch_add(1, Ordering::Relaxed);
                return Err(down());
            }
            inner.write(event)
        });
        let breaker = Breaker::new(9, Duration::from_hours(24)).unwrap();
        let builder = DurableQueue::builder(&place.path);
        let builder = if once {
            builder.no_retry()
        } else {
            builder.retry(MaxAttempts::new(breaker, 3).unwrap())
        };
        let queue = builder.spawn(sink).unwrap();
        queue.write(&0).unwrap();
        queue.write(&1).unwrap();
        queue.close().wait().unwrap();
        assert_eq!(attempts.load(Ordering::Relaxed), if once { 1 } else { 3 });
        assert_eq!(kept.numbers(), [1]);
        let dead = queue.dead_letters().unwrap().next().unwrap().unwrap();
        assert_eq!(dead.error(), "the sink is unavailable: no route to host");
    }
}

#[test]
fn of_a_batch_only_those_that_may_be_taken_later_are_tried_again() {
    let place = place();
    let (tell, told) = mpsc::channel();
    let sink = sink_fn(move |batch: &[Stored<u64>]| {
        let numbers: Vec<_> = batch.iter().map(|event| **event).collect();
        let failures = numbers.iter().enumerate().filter_map(|(at, number)| match number {
            1 => Some((at, SinkError::rejected("one"))),
            2 | 4 if numbers.len() > 2 => Some((at, down())),
            4 if numbers.len() == 2 => Some((at, SinkError::full())),
            _ => None,
        });
        let failed = SinkError::of_batch(failures.collect());
        tell.send(numbers).unwrap();
        failed.map_or(Ok(()), Err)
    });
    let queue = builder(&place).batch(5, Duration::from_hours(1)).spawn(sink).unwrap();
    for number in 0..5 {
        queue.write(&number).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [vec![0, 1, 2, 3, 4], vec![2, 4], vec![4]]);
    let stats = queue.stats();
    assert_eq!((stats.delivered, stats.failed, stats.pending), (4, 1, 0));
    assert_eq!(left(&place), (0, 1));
}

#[test]
fn what_a_batch_has_committed_before_a_deadline_is_not_offered_again() {
    let place = place();
    let (tell, waits) = mpsc::channel();
    let sink = sink_fn(|_: &[Stored<u64>]| Err(SinkError::of_batch(vec![(1, down())]).unwrap()));
    let first = DurableQueue::builder(&place.path).retry(Day(tell));
    let first = first.batch(3, Duration::from_hours(1)).spawn(sink).unwrap();
    for number in 0..3 {
        first.write(&number).unwrap();
    }
    waits.recv().unwrap();
    let error = first.close_within(Duration::ZERO).wait().unwrap_err();
    assert_eq!(error.undelivered(), Some(1));
    let kept = Kept::default();
    queue(&place, kept.clone()).close().wait().unwrap();
    assert_eq!(kept.numbers(), [1]);
}

/// Otherwise the others would wait for its answer for ever.
#[test]
fn a_probe_that_panics_is_answered_for() {
    let place = place();
    let (kept, calls) = (Kept::default(), AtomicU32::new(0));
    let inner = kept.clone();
    let sink = sink_fn(move |event: &Stored<u64>| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Err(down()),
        1 => panic!("the probe"),
        _ => inner.write(event),
    });
    let queue = builder(&place).spawn(sink).unwrap();
    queue.write(&0).unwrap();
    queue.write(&1).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(kept.numbers(), [1]);
    assert_eq!(left(&place), (0, 1));
}

#[test]
fn a_retry_inside_may_give_up_and_is_asked_again() {
    let place = place();
    let kept = Kept::default();
    let twice = MaxAttempts::new(Breaker::new(1, Duration::from_millis(1)).unwrap(), 2).unwrap();
    let queue = builder(&place).spawn(Retry::new(flaky(&kept), twice)).unwrap();
    queue.write(&0).unwrap();
    queue.write(&1).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(kept.numbers(), [0, 1]);
    assert_eq!(left(&place), (0, 0));
}
