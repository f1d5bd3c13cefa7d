use std::{any::type_name, fmt, ops::ControlFlow};

use events_core::{
    AsyncSink, Close, Closing, Event, RetryStrategy, Sink, SinkError, engine::park::block_on,
};

use crate::{
    run::{Next, Run},
    state::State,
    stats::RetryStats,
};

/// Writes to the inner sink again and again, as its strategy says, until the event is committed.
///
/// An error of a [kind](events_core::ErrorKind) that another attempt may help against is put to the
/// [strategy](RetryStrategy); every other one, such as
/// [`Rejected`](events_core::ErrorKind::Rejected), is returned at once. When the strategy gives up,
/// the last error is returned as it is.
///
/// Attempts of different writes run concurrently, unless the inner sink serialises them. Writes
/// that wait, wait for their time or for the answer to another attempt, whichever comes first.
/// Dropping an asynchronous write gives it up, and the strategy hears of it.
///
/// ```
/// use std::time::Duration;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use events_core::{Breaker, Sink, SinkError, sink_fn};
/// use events_retry::Retry;
///
/// let calls = AtomicU32::new(0);
/// let flaky = sink_fn(|_event: &str| match calls.fetch_add(1, Ordering::Relaxed) {
///     0 | 1 => Err(SinkError::unavailable("connection refused")),
///     _ => Ok(()),
/// });
/// let retry = Retry::new(flaky, Breaker::new(5, Duration::from_secs(1))?);
/// retry.write("deployed")?;
/// assert_eq!(retry.stats().attempts, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Closing
/// [`close`](Close::close) stops new writes, ends those that wait between two attempts with
/// [`Closed`](events_core::ErrorKind::Closed), whose source is their last error, and closes the
/// inner sink. [`abort`](Close::abort) ends them with
/// [`Undelivered`](events_core::ErrorKind::Undelivered) and aborts the inner sink. Neither cuts off
/// an attempt under way, but it is the write's last.
pub struct Retry<S, R> {
    inner: S,
    strategy: R,
    state: State,
}

impl<S, R> Retry<S, R> {
    /// Writes to `inner`, retried as `strategy` says.
    ///
    /// ```
    /// use events_core::{ExponentialBackoff, MaxAttempts, Memory};
    /// use events_retry::Retry;
    ///
    /// let strategy = MaxAttempts::new(ExponentialBackoff::default(), 5)?;
    /// let retry = Retry::new(Memory::<str>::new(), strategy);
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub fn new(inner: S, strategy: R) -> Self {
        Self { inner, strategy, state: State::default() }
    }

    /// What became of the attempts so far.
    pub fn stats(&self) -> RetryStats {
        self.state.stats()
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The strategy.
    pub const fn strategy(&self) -> &R {
        &self.strategy
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn run<'a, E: ?Sized>(&'a self, event: &'a E) -> Run<'a, E, R>
    where
        R: RetryStrategy<E>,
    {
        Run::new(event, &self.strategy, &self.state)
    }
}

impl<S: Close, R: Send + Sync> Close for Retry<S, R> {
    fn close(&self) -> Closing<'_> {
        self.state.close();
        self.inner.close()
    }

    fn abort(&self) {
        self.state.abort();
        self.inner.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>, R: RetryStrategy<E>> Sink<E> for Retry<S, R> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        let mut run = self.run(event);
        loop {
            match run.next() {
                Next::Try => {
                    if let ControlFlow::Break(end) = run.answer(self.inner.write(event)) {
                        return end;
                    }
                }
                Next::Wait { seen, limit } => block_on(self.state.wait(seen, limit)),
                Next::End(error) => return Err(error),
            }
        }
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>, R: RetryStrategy<E>> AsyncSink<E> for Retry<S, R> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        let mut run = self.run(event);
        loop {
            match run.next() {
                Next::Try => {
                    if let ControlFlow::Break(end) = run.answer(self.inner.write(event).await) {
                        return end;
                    }
                }
                Next::Wait { seen, limit } => self.state.wait(seen, limit).await,
                Next::End(error) => return Err(error),
            }
        }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for Retry<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("strategy", &type_name::<R>())
            .field("stats", &self.state.stats())
            .finish_non_exhaustive()
    }
}
