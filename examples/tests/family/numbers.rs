//! Whatever number a user sets, the builder refuses it or takes memory as events come: none lays out
//! room for it at once, which would end the process.

use std::time::Duration;

use events_broadcast::{Broadcaster, Lag};
use events_core::{Breaker, Discard, MaxAttempts, Sink, conformance::Destination};
use events_durable::{DurableQueue, Stored};
use events_queue::{ChannelSink, Overflow, Queue};
use events_retry::{AdaptiveLimit, Retry};

/// Takes an event and ends.
fn works(sink: &impl Sink<u64>) {
    sink.write(&1).unwrap();
    if let Err(error) = sink.close().wait() {
        panic!("{error:?}")
    }
}

#[test]
fn a_queue() {
    let huge = || Queue::builder().capacity(usize::MAX).dead_letter(Discard::new());
    works(&huge().spawn(Destination::default()).unwrap());
    for overflow in [
        Overflow::Block,
        Overflow::BlockFor(Duration::MAX),
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Reject,
    ] {
        works(&huge().overflow(overflow).spawn(Destination::default()).unwrap());
        let batches = huge().overflow(overflow).batch(usize::MAX, Duration::ZERO);
        works(&batches.spawn(Destination::default()).unwrap());
    }
    let batches = Queue::builder().batch(usize::MAX, Duration::from_hours(1));
    works(&batches.spawn(Destination::default()).unwrap());
    match Queue::builder().concurrency(usize::MAX).spawn(Destination::default()) {
        Ok(queue) => works(&queue),
        Err(refused) => assert_eq!(refused.setting(), "concurrency"),
    }
    let queue = huge().spawn(Destination::default()).unwrap();
    queue.close_within(Duration::MAX).wait().unwrap();
}

#[test]
fn a_channel() {
    for capacity in [usize::MAX, 1 << 40, 1 << 28] {
        assert_eq!(ChannelSink::<u64>::bounded(capacity).unwrap_err().setting(), "capacity");
    }
    let (sink, _events) = ChannelSink::bounded(1 << 10).unwrap();
    works(&sink);
    assert!(ChannelSink::<()>::bounded(usize::MAX).is_err());
}

#[test]
fn a_broadcaster() {
    let all = Broadcaster::new();
    for lag in [Lag::DropOldest(usize::MAX), Lag::Disconnect(usize::MAX)] {
        all.subscriber().lag(lag).spawn(Destination::default()).unwrap();
        let mut events = all.subscriber().lag(lag).subscribe().unwrap();
        all.write(&1).unwrap();
        assert_eq!(events.blocking_recv(), Some(Ok(1)));
    }
    works(&all);
}

#[test]
fn a_retry() {
    let limit = AdaptiveLimit::builder().initial(usize::MAX).maximum(usize::MAX);
    let limit = limit.build(Destination::default()).unwrap();
    let breaker = Breaker::new(u32::MAX, Duration::from_hours(1)).unwrap();
    works(&Retry::new(limit, MaxAttempts::new(breaker, u32::MAX).unwrap()));
}

#[test]
fn a_durable_queue() {
    let dir = tempfile::tempdir().unwrap();
    let sink = events_core::sink_fn(|_: &[Stored<u64>]| Ok(()));
    let queue = DurableQueue::builder(dir.path().join("events.db"))
        .capacity(usize::MAX)
        .max_size(u64::MAX)
        .batch(usize::MAX, Duration::ZERO)
        .spawn(sink);
    match queue {
        Ok(queue) => works(&queue),
        Err(refused) => assert!(refused.to_string().contains("max_size"), "{refused}"),
    }
}
