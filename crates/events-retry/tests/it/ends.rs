//! How writes end: by a close, an abort, a drop, a panic.

use std::{
    error::Error,
    future::{pending, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, Close, Closing, ErrorKind, Progress, RetryStrategy, Sink, SinkError, Verdict,
    sink_fn,
};
use events_retry::Retry;
use tokio::time::Instant;

use crate::support::{Asking, breaker, kind, unavailable};

const HOUR: Duration = Duration::from_hours(1);

/// Always fails, and knows whether it was aborted.
#[derive(Default)]
struct Failing {
    aborted: AtomicBool,
}

impl Close for Failing {
    fn close(&self) -> Closing<'_> {
        Closing::ended(Err(SinkError::undelivered_events(7)))
    }

    fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }
}

impl Sink<u32> for Failing {
    fn write(&self, _event: &u32) -> Result<(), SinkError> {
        Err(unavailable())
    }
}

impl AsyncSink<u32> for Failing {
    async fn write(&self, _event: &u32) -> Result<(), SinkError> {
        Err(unavailable())
    }
}

/// Says on which write it has a wait, and has it wait for ever.
struct ForEver(mpsc::SyncSender<()>);

impl RetryStrategy<u32> for ForEver {
    fn proceed(&self, _event: &u32, progress: &Progress) -> Verdict {
        if progress.attempts() == 0 {
            return Verdict::Go;
        }
        // Asked again after a wake-up, it may find nobody listening.
        let _ = self.0.try_send(());
        Verdict::Wait(Duration::MAX)
    }
}

fn check_end(error: &SinkError, ended_as: ErrorKind) {
    assert_eq!(error.kind(), ended_as);
    let last = error.source().unwrap();
    assert_eq!(last.to_string(), unavailable().to_string());
    assert_eq!(last.source().unwrap().to_string(), "connection refused");
}

#[tokio::test(start_paused = true)]
async fn abort_and_close_end_every_waiting_task_at_once_and_for_good() {
    for ended_as in [ErrorKind::Undelivered, ErrorKind::Closed] {
        let retry = Arc::new(Retry::new(Failing::default(), breaker(HOUR)));
        let start = Instant::now();
        let writes: Vec<_> = (0..10)
            .map(|event| {
                let retry = Arc::clone(&retry);
                tokio::spawn(async move { AsyncSink::write(&retry, &event).await })
            })
            .collect();
        // Ten writes that sleep are all that the clock waits for: then it goes on by itself.
        tokio::time::sleep(Duration::from_secs(1)).await;
        if ended_as == ErrorKind::Undelivered {
            retry.abort();
        } else {
            assert_eq!(retry.close().await.unwrap_err().undelivered(), Some(7));
        }
        assert_eq!(retry.get_ref().aborted.load(Ordering::Relaxed), ended_as != ErrorKind::Closed);
        let mut tried = 0;
        for write in writes {
            let error = write.await.unwrap().unwrap_err();
            if error.source().unwrap().source().unwrap().to_string() == "it was never tried" {
                assert_eq!(error.kind(), ended_as);
            } else {
                check_end(&error, ended_as);
                tried += 1;
            }
        }
        assert_eq!(tried, 1, "the first failure kept the others waiting");
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(kind(AsyncSink::write(&retry, &1).await), Some(ErrorKind::Closed));
        assert_eq!(retry.stats().given_up, 10);
    }
}

#[test]
fn abort_and_close_end_a_waiting_thread() {
    for ended_as in [ErrorKind::Undelivered, ErrorKind::Closed] {
        let (waits, waiting) = mpsc::sync_channel(1);
        let retry = Retry::new(Failing::default(), ForEver(waits));
        thread::scope(|scope| {
            let write = scope.spawn(|| Sink::write(&retry, &1));
            waiting.recv().unwrap();
            if ended_as == ErrorKind::Undelivered {
                retry.abort();
            } else {
                retry.close().wait().unwrap_err();
            }
            check_end(&write.join().unwrap().unwrap_err(), ended_as);
        });
    }
}

#[tokio::test]
async fn an_attempt_under_way_is_the_last_one() {
    let (inner, mut attempts) = Asking::new();
    let retry = Arc::new(Retry::new(inner, breaker(HOUR)));
    let writes = [1, 2].map(|event| {
        let retry = Arc::clone(&retry);
        tokio::spawn(async move { retry.write(&event).await })
    });
    let attempt = [attempts.recv().await.unwrap(), attempts.recv().await.unwrap()];
    retry.close().await.unwrap();
    for (attempt, answer) in attempt.into_iter().zip([Ok(()), Err(unavailable())]) {
        attempt.send(answer).unwrap();
    }
    let [good, bad] = writes;
    good.await.unwrap().unwrap();
    check_end(&bad.await.unwrap().unwrap_err(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_makes_room_for_another() {
    let (inner, mut attempts) = Asking::new();
    let retry = Arc::new(Retry::new(inner, breaker(HOUR)));
    let write = |event| {
        let retry = Arc::clone(&retry);
        tokio::spawn(async move { retry.write(&event).await })
    };
    let first = write(1);
    attempts.recv().await.unwrap().send(Err(unavailable())).unwrap();
    let mut probe = attempts.recv().await.unwrap();
    let second = write(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(attempts.try_recv().is_err());

    let dropped_at = Instant::now();
    first.abort();
    probe.closed().await;
    let next_probe = attempts.recv().await.unwrap();
    assert_eq!(dropped_at, Instant::now(), "it was woken, it did not wait its time");
    next_probe.send(Ok(())).unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(retry.stats().abandoned, 1);
}

#[test]
fn a_panic_and_a_drop_release_the_attempt() {
    /// One attempt at a time, and no waiting for it.
    #[derive(Default)]
    struct OneAtATime(AtomicBool);
    impl<E: ?Sized> RetryStrategy<E> for OneAtATime {
        fn proceed(&self, _event: &E, _progress: &Progress) -> Verdict {
            if self.0.swap(true, Ordering::Relaxed) { Verdict::GiveUp } else { Verdict::Go }
        }
        fn release(&self, _event: &E, _progress: &Progress) {
            assert!(self.0.swap(false, Ordering::Relaxed));
        }
    }

    let panics = sink_fn(|_: &str| panic!("lost my marbles"));
    let threads = Retry::new(panics, OneAtATime::default());
    for _ in 0..3 {
        catch_unwind(AssertUnwindSafe(|| Sink::write(&threads, "event"))).unwrap_err();
    }
    assert_eq!(threads.stats().abandoned, 3);

    let tasks = Retry::new(sink_fn(|_: &str| pending()), OneAtATime::default());
    for _ in 0..3 {
        let mut write = pin!(AsyncSink::write(&tasks, "event"));
        assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(tasks.stats().abandoned, 3);
}

#[test]
fn a_strategy_that_never_lets_go_is_told_from_a_sink_that_fails() {
    struct Never;
    impl<E: ?Sized> RetryStrategy<E> for Never {
        fn proceed(&self, _event: &E, _progress: &Progress) -> Verdict {
            Verdict::GiveUp
        }
    }
    let retry = Retry::new(sink_fn(|_: &str| ready(Ok(()))), Never);
    let mut write = pin!(AsyncSink::write(&retry, "event"));
    let Poll::Ready(result) = write.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits")
    };
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.source().unwrap().to_string(), "it was never tried");
    assert_eq!(retry.stats().attempts, 0);
}
