//! Waiting: nobody who may go on is left asleep.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, ErrorKind, MaxElapsed, Progress, RetryStrategy, Sink, SinkError, Verdict, sink_fn,
};
use events_retry::{Retry, RetryStats};

use crate::support::{breaker, kind, unavailable};

const WRITERS: usize = 8;
const EVENTS: usize = 2_000;

/// One attempt at a time; all others wait for its answer and for nothing else. A wake-up that is
/// lost leaves its write asleep for ever.
#[derive(Default)]
struct OneAtATime {
    busy: AtomicBool,
}

impl RetryStrategy<usize> for OneAtATime {
    fn proceed(&self, _event: &usize, _progress: &Progress) -> Verdict {
        if self.busy.swap(true, Ordering::AcqRel) {
            Verdict::Wait(Duration::MAX)
        } else {
            Verdict::Go
        }
    }

    fn success(&self, _event: &usize, _progress: &Progress) {
        assert!(self.busy.swap(false, Ordering::AcqRel));
    }

    fn failure(&self, _event: &usize, _progress: &Progress) {
        assert!(self.busy.swap(false, Ordering::AcqRel));
    }

    fn release(&self, _event: &usize, _progress: &Progress) {
        assert!(self.busy.swap(false, Ordering::AcqRel));
    }
}

/// Every third attempt fails, and every seventh is rejected.
#[derive(Default)]
struct Mixed(AtomicUsize);

impl Mixed {
    fn write(&self) -> Result<(), SinkError> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            call if call.is_multiple_of(3) => Err(unavailable()),
            call if call.is_multiple_of(7) => Err(SinkError::rejected("the seventh")),
            _ => Ok(()),
        }
    }
}

fn check(stats: RetryStats) {
    assert_eq!(stats.successes + stats.refused, (WRITERS * EVENTS) as u64);
    assert_eq!(stats.attempts, stats.successes + stats.refused + stats.failures);
    assert_eq!(stats.retries, stats.failures);
    assert_eq!((stats.abandoned, stats.given_up), (0, 0));
}

fn accept(result: Result<(), SinkError>) {
    assert!(matches!(kind(result), None | Some(ErrorKind::Rejected)));
}

#[test]
fn every_answer_wakes_the_threads_that_wait() {
    let mixed = Mixed::default();
    let retry = Retry::new(sink_fn(|_: &usize| mixed.write()), OneAtATime::default());
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| (0..EVENTS).for_each(|event| accept(Sink::write(&retry, &event))));
        }
    });
    check(retry.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_wakes_the_tasks_that_wait() {
    let mixed = Mixed::default();
    let inner = sink_fn(move |_: &usize| ready(mixed.write()));
    let retry = Arc::new(Retry::new(inner, OneAtATime::default()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let retry = Arc::clone(&retry);
            tokio::spawn(async move {
                for event in 0..EVENTS {
                    accept(AsyncSink::write(&retry, &event).await);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    check(retry.stats());
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_a_wait() {
    let start = tokio::time::Instant::now();
    let strategy = MaxElapsed::new(breaker(Duration::from_hours(1)), Duration::from_secs(90));
    let inner = sink_fn(|_: &str| ready(Err(unavailable())));
    let retry = Retry::new(inner, strategy.unwrap());
    let error = AsyncSink::write(&retry, "event").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(start.elapsed().as_secs(), 90);
}

#[tokio::test]
async fn a_strategy_that_waits_for_no_time_does_not_keep_the_task() {
    /// Waits for nothing, but for ever.
    struct Spin;
    impl<E: ?Sized> RetryStrategy<E> for Spin {
        fn proceed(&self, _event: &E, _progress: &Progress) -> Verdict {
            Verdict::Wait(Duration::ZERO)
        }
    }
    let retry = Retry::new(sink_fn(|_: &str| ready(Ok(()))), Spin);
    let other = tokio::spawn(async {});
    tokio::select! {
        _ = AsyncSink::write(&retry, "event") => panic!("it was never to go"),
        ended = other => ended.unwrap(),
    }
}
