//! Several deliveries at a time under tokio, with a paused clock where time counts.
#![cfg(feature = "tokio")]

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use events_core::{AsyncSink, Breaker, Close, Closing, ErrorKind, Memory, SinkError};
use events_queue::{Builder, DeadLetter, Queue, Single};
use events_retry::{AdaptiveLimit, Retry};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::support::{HANG, Script, assert_kind, assert_stats};

const EVENTS: u64 = 10_000;
const KEYS: u64 = 320;

/// A queue whose events have so many keys.
fn by_key(deliveries: usize) -> Builder<u64, Single> {
    Queue::builder().concurrency(deliveries).ordered_by(|event: &u64| event % KEYS)
}

/// Answers after 20 ms; every tenth answer is that it is unavailable, if it is flaky.
struct Endpoint {
    is_flaky: bool,
    answers: AtomicU64,
    taken: Memory<u64>,
}

impl Endpoint {
    fn new(is_flaky: bool) -> Arc<Self> {
        Arc::new(Self { is_flaky, answers: AtomicU64::new(0), taken: Memory::new() })
    }
}

impl Close for Endpoint {}

impl AsyncSink<u64> for Endpoint {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = self.answers.fetch_add(1, Ordering::Relaxed);
        if self.is_flaky && answer.is_multiple_of(10) {
            return Err(SinkError::unavailable("503 Service Unavailable"));
        }
        AsyncSink::write(&self.taken, event).await
    }
}

/// The time it takes to deliver all events.
async fn took(queue: Builder<u64, Single>, sink: impl AsyncSink<u64> + 'static) -> Duration {
    let queue = queue.spawn_tokio(sink).unwrap();
    let start = Instant::now();
    for event in 0..EVENTS {
        queue.write(&event).await.unwrap();
    }
    queue.close().await.unwrap();
    assert_stats(&queue, [EVENTS, EVENTS, 0, 0, 0, 0]);
    start.elapsed()
}

fn assert_order(events: &[u64]) {
    let mut last = HashMap::new();
    for event in events {
        let before = last.insert(event % KEYS, event);
        assert!(before.is_none_or(|before| before < event), "{event} came after {before:?}");
    }
    let mut events = events.to_vec();
    events.sort_unstable();
    assert_eq!(events, (0..EVENTS).collect::<Vec<_>>());
}

// By tokio's paused clock, so this measures the design and not the machine.
#[tokio::test(start_paused = true)]
async fn thirty_two_at_a_time_are_thirty_times_as_fast_as_one() {
    let endpoint = Endpoint::new(false);
    let alone = took(Queue::builder(), Arc::clone(&endpoint)).await;
    assert_order(&endpoint.taken.take());
    let ordered = took(by_key(32), Arc::clone(&endpoint)).await;
    assert_order(&endpoint.taken.take());
    assert!(ordered * 30 <= alone, "{ordered:?} against {alone:?}");
    let any_order = took(Queue::builder().concurrency(32), Arc::clone(&endpoint)).await;
    assert!(any_order * 31 <= alone, "{any_order:?} against {alone:?}");
    assert_eq!(endpoint.taken.len() as u64, EVENTS);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_and_order_is_kept_when_a_tenth_of_the_writes_fail() {
    let endpoint = Endpoint::new(true);
    let retry = Arc::new(Retry::new(Arc::clone(&endpoint), Breaker::default()));
    took(by_key(32), Arc::clone(&retry)).await;
    assert_order(&endpoint.taken.take());
    assert!(retry.stats().failures >= EVENTS / 10, "{:?}", retry.stats());
    assert_eq!(retry.stats().given_up, 0);
}

/// Has time for eight at once, and none for more.
struct Busy {
    free: Semaphore,
    refused: AtomicU64,
    taken: Memory<u64>,
}

impl Close for Busy {}

impl AsyncSink<u64> for Busy {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        let free = self.free.try_acquire();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if free.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(SinkError::unavailable("503 Service Unavailable"));
        }
        AsyncSink::write(&self.taken, event).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_struggling_endpoint_is_eased() {
    let [hammered, eased] = [32, 1].map(|minimum| {
        let free = Semaphore::new(8);
        let busy = Busy { free, refused: AtomicU64::new(0), taken: Memory::new() };
        let busy = Arc::new(busy);
        let limit = AdaptiveLimit::builder().minimum(minimum).build(Arc::clone(&busy)).unwrap();
        (busy, Retry::new(limit, Breaker::new(u32::MAX, Duration::from_secs(1)).unwrap()))
    });
    let mut refused = Vec::new();
    for (busy, retry) in [hammered, eased] {
        took(by_key(32), retry).await;
        assert_order(&busy.taken.take());
        refused.push(busy.refused.load(Ordering::Relaxed));
    }
    assert!(refused[1] * 10 < refused[0] && refused[1] < EVENTS / 10, "{refused:?}");
}

#[tokio::test]
async fn blocking_where_the_workers_are_tasks_is_refused() {
    let queue = Queue::builder().concurrency(3).spawn_tokio(Script::new()).unwrap();
    queue.write(&0).await.unwrap();
    assert_kind(queue.flush().wait(), ErrorKind::WouldDeadlock);
    assert_kind(queue.close().wait(), ErrorKind::WouldDeadlock);
    queue.close().await.unwrap();
    assert_stats(&queue, [1, 1, 0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn tasks_that_never_succeed_are_given_up_at_the_deadline() {
    let hour = Duration::from_hours(1);
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let script = Script::new().shut();
    let queue = by_key(8).dead_letter(Arc::clone(&dead));
    let queue = queue.spawn_tokio(script.clone()).unwrap();
    for event in 0..200 {
        queue.write(&event).await.unwrap();
    }
    let start = Instant::now();
    let error = queue.close_within(hour).await.unwrap_err();
    assert_eq!(error.undelivered(), Some(200));
    assert!(start.elapsed() >= hour && start.elapsed() < hour + Duration::from_secs(5));
    assert_stats(&queue, [200, 0, 0, 0, 200, 0]);
    assert_eq!(dead.len(), 200);
    assert_eq!((script.aborts(), script.closes()), (1, 1));
}

/// Takes everything, and takes an hour to close.
struct ClosesSlowly;

impl Close for ClosesSlowly {
    fn close(&self) -> Closing<'_> {
        Closing::new(async {
            tokio::time::sleep(Duration::from_hours(1)).await;
            Err(SinkError::unavailable("the disk is full"))
        })
    }
}

impl AsyncSink<u64> for ClosesSlowly {
    async fn write(&self, _event: &u64) -> Result<(), SinkError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_takes_its_time_is_waited_for() {
    let spawned = by_key(3).spawn_tokio(ClosesSlowly).unwrap();
    let (paired, worker) = by_key(3).pair(ClosesSlowly).unwrap();
    tokio::spawn(worker);
    for queue in [spawned, paired] {
        queue.write(&0).await.unwrap();
        let start = Instant::now();
        // One who loses patience leaves nothing behind.
        assert!(timeout(Duration::from_mins(1), queue.close()).await.is_err());
        let (first, second) = tokio::join!(queue.close(), queue.close());
        assert!(start.elapsed() >= Duration::from_hours(1));
        for result in [first, second] {
            assert_kind(result, ErrorKind::Unavailable);
        }
    }
}

#[tokio::test]
async fn a_runtime_that_ends_ends_the_account() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let script = Script::new().shut();
    let queue = {
        let _inside = runtime.enter();
        Queue::builder().concurrency(4).spawn_tokio(script.clone()).unwrap()
    };
    for event in 0..8 {
        queue.write(&event).await.unwrap();
    }
    let closing = queue.close();
    runtime.shutdown_background();
    let error = timeout(HANG, closing).await.unwrap().unwrap_err();
    assert_eq!(error.undelivered(), Some(8));
    assert_eq!(script.closes(), 1);
}
