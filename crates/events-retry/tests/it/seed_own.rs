//! The Go original's own tests, restated: a hundred concurrent writers through a sink that always
//! fails at first and nine times of ten later; every event arrives.

use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use events_core::{
    AsyncSink, Breaker, Close, ExponentialBackoff, Memory, RetryStrategy, Sink, SinkError, sink_fn,
};
use events_retry::{Retry, RetryStats};

use crate::support::unavailable;

const WRITERS: usize = 100;

/// Says whether the sink is down this time.
#[derive(Default)]
struct Flaky(AtomicUsize);

impl Flaky {
    fn check(&self) -> Result<(), SinkError> {
        let call = self.0.fetch_add(1, Ordering::Relaxed);
        if call > 2 * WRITERS && call.is_multiple_of(10) { Ok(()) } else { Err(unavailable()) }
    }
}

fn breaker(backoff: Duration) -> Breaker {
    Breaker::new(3, backoff).unwrap()
}

fn backoff(minimum: Duration) -> ExponentialBackoff {
    let builder = ExponentialBackoff::builder().minimum(minimum).factor(minimum);
    builder.maximum(10 * minimum).build().unwrap()
}

fn on_threads(strategy: impl RetryStrategy<usize>) {
    let arrived = Arc::new(Memory::new());
    let flaky = Flaky::default();
    let inner = sink_fn(|event: &usize| flaky.check().and_then(|()| Sink::write(&arrived, event)));
    let retry = Retry::new(inner, strategy);
    thread::scope(|scope| {
        for event in 0..WRITERS {
            let retry = &retry;
            scope.spawn(move || retry.write(&event).unwrap());
        }
    });
    retry.close().wait().unwrap();
    check(&arrived, retry.stats());
}

async fn in_tasks(strategy: impl RetryStrategy<usize> + 'static) {
    let arrived = Arc::new(Memory::new());
    let flaky = Flaky::default();
    let inner = {
        let arrived = Arc::clone(&arrived);
        sink_fn(move |event: &usize| {
            ready(flaky.check().and_then(|()| Sink::write(&arrived, event)))
        })
    };
    let retry = Arc::new(Retry::new(inner, strategy));
    let writes: Vec<_> = (0..WRITERS)
        .map(|event| {
            let retry = Arc::clone(&retry);
            tokio::spawn(async move { AsyncSink::write(&retry, &event).await })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    retry.close().await.unwrap();
    check(&arrived, retry.stats());
}

fn check(arrived: &Memory<usize>, stats: RetryStats) {
    let mut arrived = arrived.events();
    arrived.sort_unstable();
    assert_eq!(arrived, (0..WRITERS).collect::<Vec<_>>());
    assert_eq!(stats.successes, WRITERS as u64);
    assert_eq!(stats.attempts, stats.successes + stats.failures);
    assert_eq!(stats.retries, stats.failures, "every failure was followed by another attempt");
}

#[test]
fn seed_test_retrying_sink_breaker_on_threads() {
    on_threads(breaker(Duration::from_micros(100)));
}

#[test]
fn seed_test_retrying_sink_exponential_backoff_on_threads() {
    on_threads(backoff(Duration::from_micros(20)));
}

#[tokio::test(start_paused = true)]
async fn seed_test_retrying_sink_breaker_in_tasks() {
    in_tasks(breaker(Duration::from_secs(10))).await;
}

#[tokio::test(start_paused = true)]
async fn seed_test_retrying_sink_exponential_backoff_in_tasks() {
    in_tasks(backoff(Duration::from_secs(1))).await;
}
