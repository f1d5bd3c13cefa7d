//! How many writes an `AdaptiveLimit` lets through, who is next, and how the wait ends.

use std::{
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, Close, ErrorKind, Event, Sink, SinkError, conformance::Suite,
    engine::park::block_on, sink_fn,
};
use events_retry::{AdaptiveLimit, AdaptiveLimitBuilder};
use tokio::{sync::mpsc::UnboundedReceiver, task::JoinHandle};

use crate::support::{Asking, Attempt, kind, unavailable};

const SECOND: Duration = Duration::from_secs(1);

/// A limit whose every write is answered by the test.
struct Bench {
    limit: Arc<AdaptiveLimit<Asking>>,
    asked: UnboundedReceiver<Attempt>,
    writes: Vec<JoinHandle<Result<(), SinkError>>>,
}

impl Bench {
    fn new(builder: AdaptiveLimitBuilder) -> Self {
        let (asking, asked) = Asking::new();
        Self { limit: Arc::new(builder.build(asking).unwrap()), asked, writes: Vec::new() }
    }

    /// Begins so many more writes; those that were let in and not answered before.
    async fn write(&mut self, count: u32) -> Vec<Attempt> {
        for event in 0..count {
            let limit = Arc::clone(&self.limit);
            self.writes.push(tokio::spawn(async move { limit.write(&event).await }));
        }
        self.attempts().await
    }

    /// What has come to the sink once every task has done what it can.
    async fn attempts(&mut self) -> Vec<Attempt> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }

    #[track_caller]
    fn assert(&self, figures: [usize; 3]) {
        let stats = self.limit.stats();
        assert_eq!([stats.limit, stats.in_flight, stats.waiting], figures);
    }
}

fn answer(attempts: impl IntoIterator<Item = Attempt>, result: &Result<(), SinkError>) {
    for attempt in attempts {
        attempt.send(result.clone()).unwrap();
    }
}

fn from(initial: usize) -> AdaptiveLimitBuilder {
    AdaptiveLimit::builder().initial(initial)
}

#[tokio::test]
async fn the_limit_rises_by_one_a_round_up_to_its_maximum() {
    let mut bench = Bench::new(AdaptiveLimit::builder().maximum(5));
    let mut attempts = bench.write(30).await;
    for allowed in [1, 2, 3, 4, 5, 5] {
        assert_eq!(attempts.len(), allowed);
        bench.assert([allowed, allowed, bench.limit.stats().waiting]);
        answer(attempts, &Ok(()));
        attempts = bench.attempts().await;
    }
}

#[tokio::test]
async fn the_limit_stays_where_it_is_while_it_is_not_used_up() {
    let mut bench = Bench::new(from(4));
    for _ in 0..20 {
        let attempts = bench.write(3).await;
        assert_eq!(attempts.len(), 3);
        answer(attempts, &Ok(()));
        bench.attempts().await;
    }
    bench.assert([4, 0, 0]);
}

#[tokio::test]
async fn one_round_trip_halves_the_limit_once() {
    let mut bench = Bench::new(from(8).minimum(3));
    let mut old = bench.write(20).await;
    let late = old.split_off(6);
    answer(old, &Err(unavailable()));
    let mut next = bench.attempts().await;
    // Two of the old are left, and make it four.
    bench.assert([4, 4, 10]);
    assert_eq!(next.len(), 2);
    // What those two say is about the time before.
    answer(late, &Err(unavailable()));
    next.extend(bench.attempts().await);
    bench.assert([4, 4, 8]);
    assert_eq!(next.len(), 4);
    answer(next.drain(..1), &Err(SinkError::full()));
    bench.attempts().await;
    bench.assert([3, 3, 8]);
}

#[tokio::test]
async fn other_errors_say_nothing_of_the_load() {
    let mut bench = Bench::new(from(2));
    let attempts = bench.write(2).await;
    answer(attempts, &Err(SinkError::rejected("status 400")));
    bench.attempts().await;
    bench.assert([2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_takes_too_long_halves_the_limit() {
    let mut bench = Bench::new(from(8).latency(SECOND));
    for (took, limit) in [(SECOND, 8), (SECOND + Duration::from_millis(1), 4)] {
        let attempts = bench.write(4).await;
        tokio::time::advance(took).await;
        answer(attempts, &Ok(()));
        bench.attempts().await;
        bench.assert([limit, 0, 0]);
    }
    // The time in line does not count.
    let first = bench.write(8).await;
    tokio::time::advance(SECOND).await;
    answer(first, &Ok(()));
    let second = bench.attempts().await;
    tokio::time::advance(SECOND).await;
    answer(second, &Ok(()));
    bench.attempts().await;
    assert!(bench.limit.stats().limit > 4, "{:?}", bench.limit.stats());
}

/// One poll, as by a task that then looks elsewhere.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Keeps every event that is written and answers when it is opened.
struct Order(std::sync::Mutex<Vec<u32>>, Arc<tokio::sync::Semaphore>);

impl Order {
    fn new() -> (Self, Arc<tokio::sync::Semaphore>) {
        let answers = Arc::new(tokio::sync::Semaphore::new(0));
        (Self(std::sync::Mutex::default(), Arc::clone(&answers)), answers)
    }
}

impl Close for Order {}

impl AsyncSink<u32> for Order {
    async fn write(&self, event: &u32) -> Result<(), SinkError> {
        self.0.lock().unwrap().push(*event);
        self.1.acquire().await.unwrap().forget();
        Ok(())
    }
}

#[test]
fn first_come_first_served_and_who_leaves_makes_room() {
    let (order, answers) = Order::new();
    let limit = AdaptiveLimit::new(order, 1).unwrap();
    let write = async |event| limit.write(&event).await;
    let mut writes: Vec<_> = (0..6).map(|event| Some(Box::pin(write(event)))).collect();
    for write in writes.iter_mut().flatten() {
        assert!(poll(write.as_mut()).is_pending());
    }
    assert_eq!(limit.stats().waiting, 5);
    // One leaves the line; another one after it was let in, which it has not heard of.
    writes[3] = None;
    answers.add_permits(1);
    assert!(poll(writes[0].as_mut().unwrap().as_mut()).is_ready());
    assert_eq!((limit.stats().in_flight, limit.stats().waiting), (1, 3));
    writes[1] = None;
    assert_eq!((limit.stats().in_flight, limit.stats().waiting), (1, 2));
    // A write under way that is dropped gives its place back.
    assert!(poll(writes[4].as_mut().unwrap().as_mut()).is_pending());
    assert!(poll(writes[2].as_mut().unwrap().as_mut()).is_pending());
    writes[2] = None;
    for event in [4, 5] {
        answers.add_permits(1);
        assert!(poll(writes[event].as_mut().unwrap().as_mut()).is_ready());
    }
    assert_eq!(*limit.get_ref().0.lock().unwrap(), [0, 2, 4, 5]);
    assert_eq!((limit.stats().in_flight, limit.stats().waiting), (0, 0));
}

#[tokio::test]
async fn close_and_abort_end_those_who_wait_and_nobody_else() {
    for ended_as in [ErrorKind::Closed, ErrorKind::Undelivered] {
        let mut bench = Bench::new(AdaptiveLimit::builder());
        let attempts = bench.write(3).await;
        if ended_as == ErrorKind::Closed {
            bench.limit.close().await.unwrap();
        } else {
            bench.limit.abort();
        }
        assert!(bench.attempts().await.is_empty());
        bench.assert([1, 1, 0]);
        answer(attempts, &Ok(()));
        let mut results = Vec::new();
        for write in bench.writes.drain(..) {
            results.push(kind(write.await.unwrap()));
        }
        assert_eq!(results, [None, Some(ended_as), Some(ended_as)]);
        assert_eq!(kind(bench.limit.write(&9).await), Some(ErrorKind::Closed));
    }
}

#[test]
fn threads_share_the_limit() {
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    // The first write of each thread meets that of another: two are let in at once.
    let meet = Barrier::new(2);
    let sink = {
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        sink_fn(move |event: &u32| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if *event == 0 {
                meet.wait();
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
    };
    let limit = AdaptiveLimit::builder().minimum(2).maximum(2).build(sink).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|event| Sink::write(&limit, &event).unwrap()));
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 2);
    assert_eq!(limit.stats().in_flight, 0);
}

#[test]
fn a_panic_gives_the_place_back() {
    let check = |limit: &dyn Fn() -> Result<(), SinkError>| {
        for _ in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(limit)).expect("the panic is caught");
            assert_eq!(kind(result), Some(ErrorKind::Rejected));
        }
    };
    let threads = sink_fn(|_: &u32| -> Result<(), SinkError> { panic!("lost my marbles") });
    let threads = AdaptiveLimit::new(threads, 1).unwrap();
    check(&|| Sink::write(&threads, &1));
    let tasks = sink_fn(|event: &u32| {
        assert_ne!(*event, 1, "before there is a future");
        ready(Ok(()))
    });
    let tasks = AdaptiveLimit::new(tasks, 1).unwrap();
    check(&|| block_on(AsyncSink::write(&tasks, &1)));
    assert_eq!(kind(block_on(AsyncSink::write(&tasks, &2))), None);
}

/// A sink that writes to its own limit.
#[derive(Default)]
struct Recursive(OnceLock<Arc<AdaptiveLimit<Recursive>>>);

impl Close for Recursive {}

impl Sink<u32> for Recursive {
    fn write(&self, event: &u32) -> Result<(), SinkError> {
        Sink::write(&**self.0.get().unwrap(), event)
    }
}

impl AsyncSink<u32> for Recursive {
    async fn write(&self, event: &u32) -> Result<(), SinkError> {
        tokio::task::yield_now().await;
        Box::pin(again(&**self.0.get().unwrap(), event)).await
    }
}

fn again<'a, E: Event, S: AsyncSink<E>>(
    sink: &'a S,
    event: &'a E,
) -> Box<dyn Future<Output = Result<(), SinkError>> + Send + Unpin + 'a> {
    Box::new(Box::pin(sink.write(event)))
}

#[test]
fn a_write_that_would_wait_for_itself_is_refused() {
    let limit = Arc::new(AdaptiveLimit::new(Recursive::default(), 4).unwrap());
    assert!(limit.get_ref().0.set(Arc::clone(&limit)).is_ok());
    assert_eq!(kind(Sink::write(&*limit, &1)), Some(ErrorKind::WouldDeadlock));
    assert_eq!(kind(block_on(AsyncSink::write(&*limit, &1))), Some(ErrorKind::WouldDeadlock));
    assert_eq!(limit.stats().in_flight, 0);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |builder: AdaptiveLimitBuilder| builder.build(()).unwrap_err().setting();
    assert_eq!(refused(from(1).minimum(0)), "minimum");
    assert_eq!(refused(from(1).maximum(0)), "maximum");
    assert_eq!(refused(from(0)), "initial");
    assert_eq!(refused(from(33)), "initial");
    assert_eq!(refused(from(1).latency(Duration::ZERO)), "latency");
    assert_eq!(refused(from(1).latency(Duration::MAX)), "latency");
}

#[test]
fn it_keeps_the_contract() {
    for maximum in [1, 3, 100] {
        Suite::wrapper(move |to| AdaptiveLimit::new(to, maximum).unwrap()).run();
        Suite::async_wrapper(move |to| AdaptiveLimit::new(to, maximum).unwrap()).run();
    }
}

#[test]
fn a_write_that_is_never_answered_can_be_dropped() {
    let limit = AdaptiveLimit::new(sink_fn(|_: &u32| pending()), 1).unwrap();
    for _ in 0..3 {
        assert!(poll(pin!(AsyncSink::write(&limit, &1))).is_pending());
    }
    assert_eq!(limit.stats().in_flight, 0);
}
