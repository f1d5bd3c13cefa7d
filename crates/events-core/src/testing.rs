//! What several unit tests need.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::{
    closing::Closing,
    error::{ErrorKind, SinkError},
    event::Event,
    gate::Gate,
    runtime::park::block_on,
    sink::{AsyncSink, Close, Sink},
    strategy::{progress::Progress, retry_strategy::RetryStrategy, verdict::Verdict},
};

/// Takes everything, and counts what it is told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    gate: Gate,
    closed: AtomicUsize,
    aborted: AtomicUsize,
}

impl Told {
    pub(crate) fn times_closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn times_aborted(&self) -> usize {
        self.aborted.load(Ordering::Relaxed)
    }
}

impl Close for Told {
    fn close(&self) -> Closing<'_> {
        self.closed.fetch_add(usize::from(self.gate.close()), Ordering::Relaxed);
        Closing::ended(Err(SinkError::undelivered_events(1)))
    }

    fn abort(&self) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }
}

impl<E: ?Sized + Event> Sink<E> for Told {
    fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.gate.check()
    }
}

impl<E: ?Sized + Event> AsyncSink<E> for Told {
    async fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.gate.check()
    }
}

/// Checks that `wrapper` takes `event`, hands `abort` and `close` inwards, tells what the inner
/// close came to, and takes nothing afterwards.
pub(crate) fn check_wrapper<E, W>(wrapper: &W, event: &E, inner: &[&Told])
where
    E: ?Sized + Event,
    W: Sink<E> + AsyncSink<E>,
{
    let write = || [Sink::write(wrapper, event), block_on(AsyncSink::write(wrapper, event))];
    assert!(write().iter().all(Result::is_ok));
    wrapper.abort();
    assert!(inner.iter().all(|inner| inner.times_aborted() == 1));
    for _ in 0..2 {
        let error = wrapper.close().wait().unwrap_err();
        assert_eq!(error.undelivered(), Some(inner.len() as u64));
    }
    assert!(inner.iter().all(|inner| inner.times_closed() == 1));
    for result in write() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    }
}

/// A write whose attempts are driven by hand, at times counted from a start that all share.
pub(crate) struct Write<'a, R> {
    strategy: &'a R,
    start: Instant,
    progress: Progress,
}

impl<'a, R: RetryStrategy<()>> Write<'a, R> {
    pub(crate) fn new(strategy: &'a R, start: Instant) -> Self {
        Self { strategy, start, progress: Progress::at(start) }
    }

    /// Asks, and begins the attempt if there is to be one.
    pub(crate) fn ask(&mut self, at: Duration) -> Verdict {
        self.progress.set_now(self.start + at);
        let verdict = self.strategy.proceed(&(), &self.progress);
        if matches!(verdict, Verdict::Go | Verdict::Probe) {
            self.progress.begin(verdict);
        }
        verdict
    }

    pub(crate) fn fail(&mut self, at: Duration) {
        self.fail_with(at, SinkError::unavailable("down"));
    }

    pub(crate) fn fail_with(&mut self, at: Duration, error: SinkError) {
        self.progress.set_now(self.start + at);
        self.progress.fail(error);
        self.strategy.failure(&(), &self.progress);
    }

    pub(crate) fn succeed(&self) {
        self.strategy.success(&(), &self.progress);
    }

    pub(crate) fn release(&self) {
        self.strategy.release(&(), &self.progress);
    }
}
