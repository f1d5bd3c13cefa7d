use std::{fmt, future::poll_fn, pin::pin, task::Poll, time::Duration};

use events_core::{
    AsyncSink, Close, Closing, ConfigError, Event, Sink, SinkError,
    engine::{isolate, park::block_on},
};

use crate::{limit_stats::LimitStats, permits::Permits};

/// An answer that may take longer than this was given in another unit.
const LONGEST_LATENCY: Duration = Duration::from_hours(24);

/// Limits how many writes are under way at once, to as many as the destination takes well.
///
/// Additive increase, multiplicative decrease: the limit rises by one once as many writes as it
/// allows went well while all of it was in use, and is halved when a write fails in a way that
/// another attempt may help against ([`Unavailable`](events_core::ErrorKind::Unavailable), as for a
/// 429 or 503, or [`Full`](events_core::ErrorKind::Full)) or takes longer than the
/// [`latency`](AdaptiveLimitBuilder::latency) wanted. It is halved once a round trip: a write that
/// began before that changes it no more. Other errors say nothing of how busy the destination is.
///
/// A write over the limit waits, first come first served. Put it inside a [`Retry`](crate::Retry),
/// so that a write that waits for its next attempt does not hold up others, and behind a queue
/// with a concurrency, which has so many writes for it at a time. How long the destination asked
/// to be left alone is the business of the retry's strategy.
///
/// Clones of an [`Arc`](std::sync::Arc) of it share one limit, as do all deliveries of a queue. A panic
/// of the sink inside is an error, and gives its place back.
///
/// # Default
/// From 1 to 32 writes at once, beginning with 1; no latency wanted.
///
/// ```
/// use events_core::{Breaker, Memory, Sink};
/// use events_retry::{AdaptiveLimit, Retry};
///
/// let hook = AdaptiveLimit::new(Memory::new(), 32)?;
/// let retry = Retry::new(hook, Breaker::default());
/// assert_eq!(retry.get_ref().stats().limit, 1);
/// retry.write(&"deployed")?;
/// assert_eq!(retry.get_ref().stats().limit, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Closing
/// [`close`](Close::close) stops new writes, ends those that wait with
/// [`Closed`](events_core::ErrorKind::Closed) and closes the inner sink. [`abort`](Close::abort)
/// ends them with [`Undelivered`](events_core::ErrorKind::Undelivered) and aborts the inner sink.
pub struct AdaptiveLimit<S> {
    inner: S,
    permits: Permits,
}

impl<S> AdaptiveLimit<S> {
    /// Writes to `inner`, from 1 to `maximum` events at once.
    ///
    /// ```
    /// use events_core::Memory;
    /// use events_retry::AdaptiveLimit;
    ///
    /// let limit = AdaptiveLimit::new(Memory::<str>::new(), 16)?;
    /// assert!(AdaptiveLimit::new(Memory::<str>::new(), 0).is_err());
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// A maximum of zero.
    pub fn new(inner: S, maximum: usize) -> Result<Self, ConfigError> {
        AdaptiveLimit::builder().maximum(maximum).build(inner)
    }

    /// The limit at this moment, and who is at it.
    pub fn stats(&self) -> LimitStats {
        self.permits.stats()
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl AdaptiveLimit<()> {
    /// Sets minimum, maximum, where to begin and the latency wanted, one by one.
    ///
    /// ```
    /// use events_core::Memory;
    /// use events_retry::AdaptiveLimit;
    ///
    /// let limit = AdaptiveLimit::builder().maximum(8).build(Memory::<str>::new())?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn builder() -> AdaptiveLimitBuilder {
        AdaptiveLimitBuilder { minimum: 1, initial: None, maximum: 32, latency: None }
    }
}

/// Sets up an [`AdaptiveLimit`].
///
/// ```
/// use std::time::Duration;
/// use events_core::Memory;
/// use events_retry::AdaptiveLimit;
///
/// let limit = AdaptiveLimit::builder()
///     .minimum(2)
///     .initial(8)
///     .maximum(64)
///     .latency(Duration::from_millis(500))
///     .build(Memory::<str>::new())?;
/// assert_eq!(limit.stats().limit, 8);
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "`build` makes the limit"]
pub struct AdaptiveLimitBuilder {
    minimum: usize,
    initial: Option<usize>,
    maximum: usize,
    latency: Option<Duration>,
}

impl AdaptiveLimitBuilder {
    /// How many writes are always allowed; at least 1. Default: 1.
    pub const fn minimum(mut self, writes: usize) -> Self {
        self.minimum = writes;
        self
    }

    /// How many writes are allowed at first. Default: the minimum.
    pub const fn initial(mut self, writes: usize) -> Self {
        self.initial = Some(writes);
        self
    }

    /// How many writes are ever allowed. Default: 32.
    pub const fn maximum(mut self, writes: usize) -> Self {
        self.maximum = writes;
        self
    }

    /// How long a write may take before the destination counts as struggling; more than zero, at
    /// most a day. Default: as long as it likes.
    ///
    /// It is not a timeout: the write goes on. Choose several times of what is usual, for a
    /// destination that is always slower is held to the minimum.
    ///
    /// ```
    /// use events_core::Memory;
    /// use events_retry::AdaptiveLimit;
    /// use std::time::Duration;
    ///
    /// let wanted = AdaptiveLimit::builder().latency(Duration::from_secs(2));
    /// let limit = wanted.build(Memory::<str>::new())?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn latency(mut self, wanted: Duration) -> Self {
        self.latency = Some(wanted);
        self
    }

    /// The limit around `inner`.
    ///
    /// ```
    /// use events_core::Memory;
    /// use events_retry::AdaptiveLimit;
    ///
    /// let refused = AdaptiveLimit::builder().minimum(0).build(Memory::<str>::new()).unwrap_err();
    /// assert_eq!(refused.setting(), "minimum");
    /// ```
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn build<S>(self, inner: S) -> Result<AdaptiveLimit<S>, ConfigError> {
        let Self { minimum, initial, maximum, latency } = self;
        let refuse = |setting, problem: String| Err(ConfigError::new(setting, problem));
        if minimum == 0 {
            return refuse("minimum", "must be at least 1, was 0".into());
        }
        if maximum < minimum {
            return refuse("maximum", format!("must be at least {minimum}, was {maximum}"));
        }
        let initial = initial.unwrap_or(minimum);
        if !(minimum..=maximum).contains(&initial) {
            let problem = format!("must be from {minimum} to {maximum}, was {initial}");
            return refuse("initial", problem);
        }
        if latency.is_some_and(|latency| latency.is_zero()) {
            return refuse("latency", "must be more than zero".into());
        }
        if latency.is_some_and(|latency| latency > LONGEST_LATENCY) {
            return refuse("latency", "must be at most a day".into());
        }
        Ok(AdaptiveLimit { inner, permits: Permits::new(minimum, initial, maximum, latency) })
    }
}

impl<S: Close> Close for AdaptiveLimit<S> {
    fn close(&self) -> Closing<'_> {
        self.permits.close();
        self.inner.close()
    }

    fn abort(&self) {
        self.permits.abort();
        self.inner.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>> Sink<E> for AdaptiveLimit<S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        let permit = block_on(self.permits.enter())?;
        // Isolated, so that a write from inside it that would wait for it is known.
        let result = isolate::call(self.permits.name(), || self.inner.write(event)).flatten();
        permit.answered(&result);
        result
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for AdaptiveLimit<S> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        let permit = self.permits.enter().await?;
        let mut write = pin!(async { self.inner.write(event).await });
        let result = poll_fn(|cx| {
            isolate::call(self.permits.name(), || write.as_mut().poll(cx))
                .unwrap_or_else(|panicked| Poll::Ready(Err(panicked)))
        });
        let result = result.await;
        permit.answered(&result);
        result
    }
}

impl<S: fmt::Debug> fmt::Debug for AdaptiveLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveLimit")
            .field("inner", &self.inner)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
