//! A close with a deadline over sinks that never succeed.

use std::{sync::Arc, thread, time::Duration};

use events_broadcast::Broadcaster;
use events_core::{Breaker, Close, DeadLetter, Memory, SinkError, engine::clock, sink_fn};
use events_queue::Queue;
use events_retry::Retry;

const EVENTS: u64 = 1_000;

fn never() -> impl events_core::Sink<u64> + events_core::AsyncSink<u64> {
    Never
}

struct Never;

impl Close for Never {}

impl events_core::Sink<u64> for Never {
    fn write(&self, _event: &u64) -> Result<(), SinkError> {
        Err(SinkError::unavailable("it never works"))
    }
}

impl events_core::AsyncSink<u64> for Never {
    async fn write(&self, _event: &u64) -> Result<(), SinkError> {
        Err(SinkError::unavailable("it never works"))
    }
}

fn check(error: &SinkError, queue: &Queue<u64>, dead: &Memory<DeadLetter<u64>>) {
    assert_eq!(error.undelivered(), Some(EVENTS));
    assert!(dead.events().iter().map(|letter| letter.event).eq(0..EVENTS), "each one, in order");
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.pending), (EVENTS, 0, 0));
    assert_eq!(stats.failed + stats.dropped.abandoned, EVENTS);
}

/// The seed's queue over a retry that never ends, closed with a deadline.
#[test]
fn seed_02_and_04_the_exact_number_is_told_and_each_event_handed_on() {
    let dead = Arc::new(Memory::new());
    let retry = Retry::new(never(), Breaker::new(1, Duration::from_hours(1)).unwrap());
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(retry).unwrap();
    for event in 0..EVENTS {
        events_core::Sink::write(&queue, &event).unwrap();
    }
    let start = clock::now();
    let error = queue.close_within(Duration::from_secs(1)).wait().unwrap_err();
    assert!(clock::now() - start >= Duration::from_secs(1), "not before the deadline");
    check(&error, &queue, &dead);
}

/// The same in a task, on tokio's paused clock: it takes the deadline and hardly more.
#[tokio::test(start_paused = true)]
async fn seed_02_the_deadline_is_kept_in_a_task() {
    let dead = Arc::new(Memory::new());
    let retry = Retry::new(never(), Breaker::new(1, Duration::from_hours(1)).unwrap());
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn_tokio(retry).unwrap();
    for event in 0..EVENTS {
        events_core::AsyncSink::write(&queue, &event).await.unwrap();
    }
    let start = clock::now();
    let error = queue.close_within(Duration::from_secs(1)).await.unwrap_err();
    let took = clock::now() - start;
    assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(1_200), "{took:?}");
    check(&error, &queue, &dead);
}

/// Queues inside a broadcaster inside a queue: the deadline reaches the innermost.
#[test]
fn a_deadline_reaches_nested_queues() {
    let dead = Arc::new(Memory::new());
    let retry = Retry::new(never(), Breaker::new(1, Duration::from_hours(1)).unwrap());
    let inner = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(retry).unwrap();
    let all = Broadcaster::new();
    all.add(Arc::new(inner.clone())).unwrap();
    let outer = Queue::spawn(all);
    for event in 0..EVENTS {
        events_core::Sink::write(&outer, &event).unwrap();
    }
    outer.flush().wait().unwrap();
    let error = outer.close_within(Duration::from_millis(1)).wait().unwrap_err();
    check(&error, &inner, &dead);
    assert_eq!(outer.stats().delivered, EVENTS);
}

/// A thread that is stuck inside its sink for good holds up nothing but itself.
#[test]
fn a_deadline_ends_a_close_over_a_thread_that_is_stuck() {
    let dead = Arc::new(Memory::new());
    let stuck = sink_fn(|_: &u64| {
        loop {
            thread::park();
        }
    });
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(stuck).unwrap();
    for event in 0..EVENTS {
        events_core::Sink::write(&queue, &event).unwrap();
    }
    let error = queue.close_within(Duration::from_millis(1)).wait().unwrap_err();
    check(&error, &queue, &dead);
}
