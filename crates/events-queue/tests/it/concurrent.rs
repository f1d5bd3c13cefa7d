//! Several deliveries at a time: what runs side by side, and what stays in order.

use std::{
    collections::HashMap,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, Breaker, Close, ErrorKind, Memory, Sink, SinkError, engine::park::block_on,
};
use events_queue::{Builder, Overflow, Queue, Schedule, Single};
use parking_lot::Mutex;

use crate::support::{
    Script, assert_balanced, assert_kind, assert_stats, assert_undelivered, in_time, poll_once,
    sorted, started, until, write_all,
};

fn side_by_side(events: usize) -> Builder<u64, Single> {
    Queue::builder().concurrency(events)
}

/// A sink whose writes wait for each other, so many at a time.
struct Together {
    meet: Barrier,
    inside: AtomicUsize,
    most: AtomicUsize,
    threads: Mutex<Vec<String>>,
}

impl Together {
    fn new(writes: usize) -> Arc<Self> {
        Arc::new(Self {
            meet: Barrier::new(writes),
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            threads: Mutex::default(),
        })
    }
}

impl Close for Together {}

impl Sink<u64> for Together {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.threads.lock().extend(thread::current().name().map(str::to_string));
        self.meet.wait();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn so_many_events_are_delivered_at_a_time_and_no_more() {
    let sink = Together::new(4);
    let queue = side_by_side(4).name("hook").spawn(Arc::clone(&sink)).unwrap();
    write_all(&queue, 0..4);
    let queue = in_time(move || {
        queue.flush().wait().unwrap();
        queue
    });
    let mut threads = std::mem::take(&mut *sink.threads.lock());
    threads.sort();
    assert_eq!(threads, ["hook-0", "hook-1", "hook-2", "hook-3"]);
    write_all(&queue, 4..8);
    in_time(move || queue.close().wait()).unwrap();
    assert_eq!(sink.most.load(Ordering::SeqCst), 4);
}

#[test]
fn one_future_drives_all() {
    let script = Script::new().shut();
    let queue = started(side_by_side(3).pair(script.clone()).unwrap());
    write_all(&queue, 0..5);
    assert_eq!(sorted((0..3).map(|_| script.entered()).collect()), [0, 1, 2]);
    script.open();
    in_time(move || queue.close().wait()).unwrap();
    assert_eq!(sorted(script.delivered()), [0, 1, 2, 3, 4]);
    assert_eq!(script.closes(), 1);
}

#[test]
fn events_of_one_key_stay_in_order() {
    let memory = Arc::new(Memory::new());
    let queue = Queue::builder().concurrency(4).ordered_by(|event: &u64| event % 50).capacity(8);
    let queue = queue.spawn(Arc::clone(&memory)).unwrap();
    thread::scope(|scope| {
        for writer in 0..5 {
            let queue = &queue;
            // Each writer has ten of the keys.
            scope.spawn(move || {
                write_all(queue, (0..2_000).filter(|event| event / 10 % 5 == writer));
            });
        }
    });
    in_time(move || queue.close().wait()).unwrap();
    let events = memory.take();
    let mut last = HashMap::new();
    for event in &events {
        assert!(last.insert(event % 50, event).is_none_or(|before| before < event));
    }
    assert_eq!(sorted(events), (0..2_000).collect::<Vec<_>>());
}

#[test]
fn a_stuck_event_delays_no_other_key() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let script = Script::answering(move |event| {
        if event == 0 {
            held.lock().recv().unwrap();
        }
        Ok(())
    });
    let queue = Queue::builder()
        .concurrency(2)
        .ordered_by(|event: &u64| *event)
        .spawn(script.clone())
        .unwrap();
    write_all(&queue, 0..100);
    until(|| script.delivered().len() == 99);
    assert!(!script.delivered().contains(&0));
    assert_balanced(&queue.stats());
    assert!(queue.stats().oldest.is_some());
    let mut flush = queue.flush();
    assert!(poll_once(&mut flush).is_pending(), "a flush waits for all that was written before");
    let_go.send(()).unwrap();
    in_time({
        let queue = queue.clone();
        move || queue.flush().wait().unwrap()
    });
    assert_stats(&queue, [100, 100, 0, 0, 0, 0]);
}

#[test]
fn the_capacity_is_that_of_all_deliveries() {
    for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::Block] {
        let script = Script::new().shut();
        let queue = side_by_side(3).capacity(5).overflow(overflow);
        let queue = queue.spawn(script.clone()).unwrap();
        write_all(&queue, 0..5);
        assert_stats(&queue, [5, 0, 0, 0, 0, 5]);
        for _ in 0..3 {
            script.entered();
        }
        match overflow {
            Overflow::Reject => {
                assert_kind(Sink::write(&queue, &5), ErrorKind::Full);
                assert_stats(&queue, [5, 0, 0, 0, 0, 5]);
            }
            Overflow::DropNewest => {
                write_all(&queue, [5]);
                assert_stats(&queue, [6, 0, 0, 1, 0, 5]);
            }
            _ => {
                let mut waiting = Box::pin(AsyncSink::write(&queue, &5));
                assert!(poll_once(&mut waiting).is_pending());
                script.open();
                block_on(waiting).unwrap();
            }
        }
        script.open();
        in_time({
            let queue = queue.clone();
            move || queue.close().wait()
        })
        .unwrap();
        let stats = queue.stats();
        assert_balanced(&stats);
        assert_eq!(stats.pending, 0);
        assert_eq!(script.delivered().len() as u64, stats.delivered);
    }
}

#[test]
fn writers_fill_it_to_its_capacity() {
    for _ in 0..100 {
        let queue = side_by_side(4).capacity(40).overflow(Overflow::Reject);
        let queue = queue.spawn(Script::new().shut()).unwrap();
        let begun = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    begun.wait();
                    while Sink::write(&queue, &0).is_ok() {}
                });
            }
        });
        assert_eq!(queue.stats().accepted, 40);
        queue.abort();
    }
}

#[test]
fn the_oldest_that_waits_is_dropped() {
    let script = Script::new().shut();
    let queue = Queue::builder().concurrency(2).ordered_by(|event: &u64| event % 2).capacity(4);
    let queue = queue.overflow(Overflow::DropOldest).spawn(script.clone()).unwrap();
    write_all(&queue, 0..100);
    script.entered();
    let stats = queue.stats();
    assert_balanced(&stats);
    assert!(stats.dropped.overflow >= 90, "{stats:?}");
    script.open();
    let queue = in_time(move || {
        queue.close().wait().unwrap();
        queue
    });
    let stats = queue.stats();
    assert_balanced(&stats);
    assert_eq!((stats.accepted, stats.pending), (100, 0));
    assert_eq!(script.delivered().len() as u64, stats.delivered);
}

#[test]
fn a_batch_holds_the_events_of_a_key_in_order() {
    let batches = Arc::new(Memory::<[u64]>::new());
    let queue = Queue::builder().concurrency(3).ordered_by(|event: &u64| event % 20);
    let queue = queue.batch(10, Duration::from_hours(1)).spawn(Arc::clone(&batches)).unwrap();
    write_all(&queue, 0..600);
    in_time(move || queue.close().wait()).unwrap();
    let events = batches.take();
    assert!(events.iter().all(|batch| batch.len() <= 10));
    let events = events.concat();
    for key in 0..20 {
        assert!(events.iter().filter(|event| *event % 20 == key).is_sorted());
    }
    assert_eq!(sorted(events), (0..600).collect::<Vec<_>>());
}

#[test]
fn a_key_that_panics_is_its_events_failure() {
    let memory = Arc::new(Memory::new());
    let key = |event: &u64| {
        assert_ne!(*event, 3, "no such key");
        event % 2
    };
    let queue = Queue::builder().concurrency(2).ordered_by(key).spawn(Arc::clone(&memory)).unwrap();
    write_all(&queue, 0..10);
    let closed = in_time({
        let queue = queue.clone();
        move || queue.close().wait()
    });
    assert_undelivered(closed, 1);
    assert_stats(&queue, [10, 9, 1, 0, 0, 0]);
    assert_eq!(sorted(memory.take()), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_panic_fails_one_event() {
    let script = Script::answering(|event| {
        assert_ne!(event, 3, "lost my marbles");
        Ok(())
    });
    let queue = side_by_side(2).spawn(script.clone()).unwrap();
    write_all(&queue, 0..10);
    let closed = in_time({
        let queue = queue.clone();
        move || queue.close().wait()
    });
    assert_undelivered(closed, 1);
    assert_stats(&queue, [10, 9, 1, 0, 0, 0]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |queue: Builder<u64, Single>| {
        let error = queue.spawn(Memory::new()).unwrap_err();
        (error.setting(), error.to_string())
    };
    assert_eq!(refused(side_by_side(0)).0, "concurrency");
    assert_eq!(refused(side_by_side(usize::MAX)).0, "concurrency");
    let minute = Duration::from_mins(1);
    assert_eq!(refused(Queue::builder().circuit(Breaker::default())).0, "circuit");
    assert_eq!(refused(Queue::builder().disable_after(minute)).0, "disable_after");
    let scheduled = || Queue::builder().redeliver(Schedule::delays([minute]));
    assert_eq!(refused(scheduled().disable_after(Duration::ZERO)).0, "disable_after");
    let (setting, text) = refused(Queue::builder().redeliver(Schedule::delays([]).attempts(0)));
    assert_eq!(
        (setting, text.as_str()),
        ("redeliver", "redeliver must allow at least 1 attempt, was 0")
    );
}
