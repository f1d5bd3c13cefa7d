//! The healthy path of a retry, and one failure on the way.

use std::{hint::black_box, time::Duration};

use backon::BlockingRetryable;
use benches::{Counter, Event, bench};
use events_core::{Breaker, Progress, RetryStrategy, Sink, SinkError, Verdict, sink_fn};
use events_retry::Retry;

/// Tries again at once, for ever.
struct AtOnce;

impl<E: ?Sized> RetryStrategy<E> for AtOnce {
    fn proceed(&self, _event: &E, _progress: &Progress) -> Verdict {
        Verdict::Go
    }
}

fn main() {
    let mut criterion = bench::criterion();
    let event = Event::sample();

    let mut group = criterion.benchmark_group("retry/success");
    let breaker = Breaker::new(5, Duration::from_secs(1)).expect("is valid");
    let retry = Retry::new(Counter::default(), breaker);
    group.bench_function("events", |b| b.iter(|| Sink::write(&retry, black_box(&event))));
    let counter = Counter::default();
    let at_once = backon::ConstantBuilder::new().with_delay(Duration::ZERO);
    group.bench_function("backon", |b| {
        b.iter(|| (|| Sink::write(&counter, black_box(&event))).retry(at_once).call());
    });
    group.bench_function("no retry", |b| b.iter(|| Sink::write(&counter, black_box(&event))));
    group.finish();

    let mut group = criterion.benchmark_group("retry/one-failure");
    let retry = Retry::new(every_second(), AtOnce);
    group.bench_function("events", |b| b.iter(|| retry.write(black_box(&event))));
    let sink = every_second();
    group.bench_function("backon", |b| {
        b.iter(|| (|| sink.write(black_box(&event))).retry(at_once).sleep(|_| ()).call());
    });
    group.finish();
    criterion.final_summary();
}

/// Fails, then succeeds, then fails.
fn every_second() -> impl Sink<Event> {
    let calls = std::sync::atomic::AtomicU64::new(0);
    sink_fn(move |_event: &Event| {
        if calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2) {
            return Err(SinkError::unavailable("every second call fails"));
        }
        Ok(())
    })
}
