//! A bound in bytes, with each policy.

use std::{sync::Arc, time::Duration};

use events_core::{AsyncSink, Close, ErrorKind, Sink, SinkError};
use events_queue::{Builder, Overflow, Queue, Schedule, Single};

use crate::support::{Script, assert_kind, assert_stats, in_time, poll_once, until};

/// Events are as large as they say.
fn bounded(bytes: usize, overflow: Overflow) -> Builder<u64, Single> {
    Queue::builder().capacity_bytes(bytes, |event: &u64| *event as usize).overflow(overflow)
}

/// A queue whose sink holds one event of `first` bytes and waits.
fn held(builder: Builder<u64, Single>, first: u64) -> (Queue<u64>, Script) {
    let script = Script::new().shut();
    let queue = builder.spawn(script.clone()).unwrap();
    Sink::write(&queue, &first).unwrap();
    assert_eq!(script.entered(), first);
    (queue, script)
}

/// The same queue with one delivery at a time, and with a scheduler.
fn both(bytes: usize, overflow: Overflow) -> [Builder<u64, Single>; 2] {
    let schedule = Schedule::delays([Duration::ZERO]);
    [bounded(bytes, overflow), bounded(bytes, overflow).redeliver(schedule)]
}

#[test]
fn what_is_pending_is_weighed_and_not_counted() {
    for builder in both(10, Overflow::Reject) {
        let (queue, script) = held(builder, 4);
        Sink::write(&queue, &5).unwrap();
        assert_kind(Sink::write(&queue, &2), ErrorKind::Full);
        Sink::write(&queue, &1).unwrap();
        assert_kind(Sink::write(&queue, &1), ErrorKind::Full);
        script.open();
        queue.flush().wait().unwrap();
        Sink::write(&queue, &10).unwrap();
        queue.close().wait().unwrap();
        assert_eq!(script.delivered(), [4, 5, 1, 10]);
    }
}

#[test]
fn an_event_beyond_the_limit_is_taken_alone() {
    for builder in both(10, Overflow::Reject) {
        let (queue, script) = held(builder, 1_000);
        assert_kind(Sink::write(&queue, &1), ErrorKind::Full);
        script.open();
        queue.close().wait().unwrap();
        assert_eq!(script.delivered(), [1_000]);
    }
}

#[test]
fn drop_newest_keeps_what_fits() {
    for builder in both(10, Overflow::DropNewest) {
        let (queue, script) = held(builder, 4);
        for event in [3, 4, 2, 3] {
            Sink::write(&queue, &event).unwrap();
        }
        assert_stats(&queue, [5, 0, 0, 2, 0, 3]);
        script.open();
        queue.close().wait().unwrap();
        assert_eq!(script.delivered(), [4, 3, 2]);
    }
}

#[test]
fn drop_oldest_keeps_the_newest_that_fit_and_what_is_in_the_sinks_hands() {
    for builder in both(10, Overflow::DropOldest) {
        let (queue, script) = held(builder, 4);
        for event in [1, 2, 3, 4, 5] {
            Sink::write(&queue, &event).unwrap();
        }
        until(|| {
            script.pass();
            queue.stats().delivered == 3
        });
        queue.close().wait().unwrap();
        assert_eq!(script.delivered(), [4, 4, 5]);
        assert_stats(&queue, [6, 3, 0, 3, 0, 0]);
    }
}

#[test]
fn drop_oldest_lets_go_of_what_it_drops() {
    let script = Script::new().shut();
    let alive = Arc::new(());
    let taken = script.clone();
    let queue = Queue::builder()
        .capacity_bytes(1_000, |_: &(u64, Arc<()>)| 100)
        .overflow(Overflow::DropOldest)
        .spawn(events_core::sink_fn(move |event: &(u64, Arc<()>)| Sink::write(&taken, &event.0)))
        .unwrap();
    Sink::write(&queue, &(0, Arc::clone(&alive))).unwrap();
    script.entered();
    for event in 1..1_000 {
        Sink::write(&queue, &(event, Arc::clone(&alive))).unwrap();
    }
    // Ten that fit, one in the sink's hands, and what shares a chunk with the oldest.
    assert!(Arc::strong_count(&alive) <= 16, "{}", Arc::strong_count(&alive));
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [vec![0], (990..1_000).collect()].concat());
}

#[test]
fn what_is_settled_out_of_order_makes_room_at_once() {
    let script = Script::new().shut();
    let queue = bounded(10, Overflow::Reject).concurrency(2).spawn(script.clone()).unwrap();
    Sink::write(&queue, &3).unwrap();
    assert_eq!(script.entered(), 3);
    Sink::write(&queue, &6).unwrap();
    assert_eq!(script.entered(), 6);
    assert_kind(Sink::write(&queue, &7), ErrorKind::Full);
    script.pass();
    until(|| queue.stats().delivered == 1);
    let left = if script.delivered() == [3] { 6 } else { 3 };
    assert_kind(Sink::write(&queue, &(11 - left)), ErrorKind::Full);
    Sink::write(&queue, &(10 - left)).unwrap();
    script.open();
    queue.close().wait().unwrap();
}

#[test]
fn writers_wait_for_room_first_come_first_served() {
    for builder in both(10, Overflow::Block) {
        let (queue, script) = held(builder, 8);
        let mut large = Box::pin(AsyncSink::write(&queue, &9));
        let mut small = Box::pin(AsyncSink::write(&queue, &1));
        assert!(poll_once(&mut large).is_pending());
        assert!(poll_once(&mut small).is_pending(), "it does not overtake");
        script.open();
        in_time({
            let queue = queue.clone();
            move || queue.flush().wait().unwrap()
        });
        events_core::engine::park::block_on(async {
            large.await.unwrap();
            small.await.unwrap();
        });
        queue.close().wait().unwrap();
        assert_eq!(script.delivered(), [8, 9, 1]);
    }
}

#[test]
fn a_full_queue_lingers_no_longer() {
    let long = Duration::from_hours(1);
    let lingers = |overflow| bounded(100, overflow).batch(100, long).spawn(Script::new()).unwrap();
    let queue = lingers(Overflow::Block);
    let queue = in_time(move || {
        for event in [20, 90, 20, 90] {
            Sink::write(&queue, &event).unwrap();
        }
        queue
    });
    queue.close().wait().unwrap();

    let queue = lingers(Overflow::Reject);
    Sink::write(&queue, &20).unwrap();
    assert_kind(Sink::write(&queue, &90), ErrorKind::Full);
    until(|| queue.stats().delivered == 1);

    // A quarter of the limit is enough for a batch.
    let queue = lingers(Overflow::DropOldest);
    Sink::write(&queue, &20).unwrap();
    Sink::write(&queue, &10).unwrap();
    until(|| queue.stats().delivered == 2);
}

#[test]
fn drop_oldest_drops_what_is_parked() {
    let script = Script::answering(|event| match event {
        4 => Err(SinkError::unavailable("down")),
        _ => Ok(()),
    });
    let schedule = Schedule::delays([Duration::from_hours(1)]);
    let queue = bounded(10, Overflow::DropOldest).redeliver(schedule);
    let queue = queue.spawn(script.clone()).unwrap();
    Sink::write(&queue, &4).unwrap();
    until(|| queue.stats().parked == 1);
    Sink::write(&queue, &7).unwrap();
    let queue = in_time(move || {
        queue.close().wait().unwrap();
        queue
    });
    assert_stats(&queue, [2, 1, 0, 1, 0, 0]);
}

#[test]
fn a_size_that_panics_is_the_writers_panic() {
    let size = |event: &u64| {
        assert_ne!(*event, 3, "no such size");
        1
    };
    let script = Script::new();
    let queue = Queue::builder().capacity_bytes(10, size).spawn(script.clone()).unwrap();
    Sink::write(&queue, &1).unwrap();
    let write = || Sink::write(&queue, &3);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
    Sink::write(&queue, &2).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [1, 2]);
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let refused = bounded(0, Overflow::Block).spawn(Script::new()).unwrap_err();
    assert!(refused.to_string().contains("capacity_bytes"), "{refused}");
}

/// Takes a second for each.
#[cfg(feature = "tokio")]
struct Slow;

#[cfg(feature = "tokio")]
impl Close for Slow {}

#[cfg(feature = "tokio")]
impl AsyncSink<u64> for Slow {
    async fn write(&self, _event: &u64) -> Result<(), SinkError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }
}

/// The clock stands still while anything is busy, so one who wakes itself again and again would see
/// no end.
#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn while_writers_wait_nobody_is_busy() {
    let queue = bounded(4, Overflow::Block).concurrency(3);
    let (queue, worker) = queue.pair(Slow).unwrap();
    tokio::spawn(worker);
    let write = |event| {
        let queue = queue.clone();
        tokio::spawn(async move { AsyncSink::write(&queue, &event).await })
    };
    let writers: Vec<_> = [3, 3, 1, 1, 2].into_iter().map(write).collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    queue.close().await.unwrap();
    assert_stats(&queue, [5, 5, 0, 0, 0, 0]);
}
