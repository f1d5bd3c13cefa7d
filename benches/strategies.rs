//! What it costs to ask a strategy and to tell it, with the time passed in.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use backon::BackoffBuilder;
use benches::bench;
use criterion::Criterion;
use events_core::{
    Breaker, ExponentialBackoff, MaxAttempts, Progress, RetryStrategy, SinkError, Verdict,
};

fn main() {
    let mut criterion = bench::criterion();
    let breaker = || Breaker::new(5, Duration::from_secs(1)).expect("is valid");
    success(&mut criterion, "breaker", &breaker());
    success(&mut criterion, "exponential", &ExponentialBackoff::default());
    let limited = MaxAttempts::new(breaker(), 3).expect("is valid");
    success(&mut criterion, "breaker, limited", &limited);
    failures(&mut criterion);
    criterion.final_summary();
}

/// One attempt that succeeds.
fn success(criterion: &mut Criterion, name: &str, strategy: &impl RetryStrategy<()>) {
    let now = Instant::now();
    let mut group = criterion.benchmark_group("strategies/success");
    group.bench_function(name, |b| {
        b.iter(|| {
            let mut progress = Progress::at(now);
            let verdict = strategy.proceed(&(), &progress);
            progress.begin(verdict);
            strategy.success(&(), &progress);
            verdict
        });
    });
    group.finish();
}

/// How long to wait after each of ten failures.
fn failures(criterion: &mut Criterion) {
    const FAILURES: usize = 10;
    let mut group = criterion.benchmark_group("strategies/ten-failures");
    let error = SinkError::unavailable("down");
    group.bench_function("events", |b| {
        b.iter(|| {
            let backoff = ExponentialBackoff::default();
            let mut now = Instant::now();
            let mut progress = Progress::at(now);
            for _ in 0..FAILURES {
                let verdict = RetryStrategy::<()>::proceed(&backoff, &(), &progress);
                progress.begin(verdict);
                progress.fail(error.clone());
                backoff.failure(&(), &progress);
                if let Verdict::Wait(wait) = backoff.proceed(&(), &progress) {
                    now += wait;
                    progress.set_now(now);
                }
            }
            black_box(now)
        });
    });
    group.bench_function("backon", |b| {
        b.iter(|| {
            let builder = backon::ExponentialBuilder::new()
                .with_min_delay(Duration::from_secs(1))
                .with_max_delay(Duration::from_secs(20))
                .with_max_times(FAILURES)
                .with_jitter();
            builder.build().sum::<Duration>()
        });
    });
    group.finish();
}
