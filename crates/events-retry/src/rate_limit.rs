use std::{
    fmt,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use events_core::{
    AsyncSink, Close, Closing, ConfigError, Event, Sink, SinkError,
    engine::{clock, park::block_on},
};
use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::{
    cost::{Bytes, Cost, Events},
    permits::Permits,
    state::State,
};

/// The rate is kept by the interval from one to the next, in whole nanoseconds: beyond this it would
/// be off by more than a tenth.
const FASTEST: u32 = 100_000_000;

/// Writes to a destination that takes so many events a second, or so many bytes, and no more.
///
/// A write that is early waits, first come first served; it holds up none that is under way. What
/// was not used for a while may be made up for at once, a second's worth of it, or what
/// [`burst`](Self::burst) says. The rate holds over any longer time.
///
/// Put it inside a [`Retry`](crate::Retry), so that each attempt counts, and behind a queue, which
/// waits in the place of writers. Clones of an [`Arc`](std::sync::Arc) of it share one rate.
///
/// ```
/// use events_core::{Memory, Sink};
/// use events_retry::RateLimit;
///
/// let hook = RateLimit::new(Memory::new(), 100)?;
/// hook.write("deployed")?;
/// assert_eq!(hook.get_ref().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Closing
/// [`close`](Close::close) stops new writes, ends those that wait with
/// [`Closed`](events_core::ErrorKind::Closed) and closes the inner sink. [`abort`](Close::abort)
/// ends them with [`Undelivered`](events_core::ErrorKind::Undelivered) and aborts the inner sink.
pub struct RateLimit<S, C = Events> {
    inner: S,
    cost: C,
    rate: NonZeroU32,
    burst: NonZeroU32,
    limiter: Limiter,
    /// Whose turn it is to wait for the rate: one at a time, in line.
    turn: Permits,
    /// What ends the wait of the one whose turn it is.
    end: State,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, SinceStart, NoOpMiddleware<Duration>>;

impl<S> RateLimit<S> {
    /// Writes to `inner`, up to `per_second` events a second. A batch is one event.
    ///
    /// ```
    /// use events_core::Memory;
    /// use events_retry::RateLimit;
    ///
    /// assert!(RateLimit::new(Memory::<str>::new(), 20).is_ok());
    /// assert!(RateLimit::new(Memory::<str>::new(), 0).is_err());
    /// ```
    ///
    /// # Errors
    /// None at all, or more than 100,000,000 a second.
    pub fn new(inner: S, per_second: u32) -> Result<Self, ConfigError> {
        Self::build(inner, per_second, Events)
    }
}

impl<S, F> RateLimit<S, Bytes<F>> {
    /// Writes to `inner`, up to `per_second` bytes a second, where `size` says how many bytes an event
    /// is. One that is larger than the burst takes as long as its size does at this rate.
    ///
    /// The rate is kept to a nanosecond for each byte: up to 10,000,000 bytes it is less than a
    /// hundredth too fast.
    ///
    /// ```
    /// use events_core::{Memory, Sink};
    /// use events_retry::RateLimit;
    ///
    /// let link = RateLimit::bytes(Memory::new(), 1_000_000, |line: &str| line.len())?;
    /// link.write("deployed")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None at all, or more than 100,000,000 a second.
    pub fn bytes<E: ?Sized>(inner: S, per_second: u32, size: F) -> Result<Self, ConfigError>
    where
        F: Fn(&E) -> usize,
    {
        Self::build(inner, per_second, Bytes(size))
    }
}

impl<S, C> RateLimit<S, C> {
    fn build(inner: S, per_second: u32, cost: C) -> Result<Self, ConfigError> {
        let rate = NonZeroU32::new(per_second).filter(|rate| rate.get() <= FASTEST);
        let rate = rate.ok_or_else(|| {
            let problem = format!("must be from 1 to {FASTEST}, was {per_second}");
            ConfigError::new("per_second", problem)
        })?;
        Ok(Self {
            inner,
            cost,
            rate,
            burst: rate,
            limiter: limiter(rate, rate),
            turn: Permits::new(1, 1, 1, None),
            end: State::default(),
        })
    }

    /// How much may be written at once after a silence, in events or bytes; at least 1. Default: what
    /// the rate allows in a second. With 1, each waits for its time.
    ///
    /// ```
    /// use events_core::Memory;
    /// use events_retry::RateLimit;
    ///
    /// let evenly = RateLimit::new(Memory::<str>::new(), 20)?.burst(1)?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// None at all.
    pub fn burst(mut self, burst: u32) -> Result<Self, ConfigError> {
        let none = || ConfigError::new("burst", "must be at least 1, was 0");
        self.burst = NonZeroU32::new(burst).ok_or_else(none)?;
        self.limiter = limiter(self.rate, self.burst);
        Ok(self)
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Ends when so much may be written.
    ///
    /// # Errors
    /// `Closed` or `Undelivered`, if a close or an abort ends it before.
    async fn wait_for(&self, cost: u64) -> Result<(), SinkError> {
        let _turn = self.turn.enter().await?;
        let mut left = cost;
        while left > 0 {
            // What is larger than the burst goes in portions.
            let portion = u32::try_from(left).unwrap_or(u32::MAX).min(self.burst.get());
            let Some(portion) = NonZeroU32::new(portion) else { break };
            match self.limiter.check_n(portion) {
                Ok(Ok(())) => left -= u64::from(portion.get()),
                Ok(Err(not_yet)) => {
                    let wait = not_yet.wait_time_from(self.limiter.clock().now());
                    self.end.wait(0, wait).await;
                    self.check_end()?;
                }
                Err(beyond_the_burst) => {
                    return Err(SinkError::rejected(beyond_the_burst.to_string()));
                }
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), SinkError> {
        if self.end.aborted.check().is_err() {
            return Err(SinkError::undelivered_events(1).with_source("the limit was aborted"));
        }
        self.end.closed.check()
    }
}

fn limiter(rate: NonZeroU32, burst: NonZeroU32) -> Limiter {
    let quota = Quota::per_second(rate).allow_burst(burst);
    RateLimiter::direct_with_clock(quota, SinceStart(clock::now()))
}

/// The family's clock, which is tokio's where there is one: counted from when the limit was made.
#[derive(Debug, Clone)]
struct SinceStart(Instant);

impl Clock for SinceStart {
    type Instant = Duration;

    fn now(&self) -> Duration {
        clock::now().saturating_duration_since(self.0)
    }
}

impl<S: Close, C: Send + Sync> Close for RateLimit<S, C> {
    fn close(&self) -> Closing<'_> {
        self.turn.close();
        self.end.close();
        self.inner.close()
    }

    fn abort(&self) {
        self.turn.abort();
        self.end.abort();
        self.inner.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>, C: Cost<E>> Sink<E> for RateLimit<S, C> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        block_on(self.wait_for(self.cost.of(event)))?;
        self.inner.write(event)
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>, C: Cost<E>> AsyncSink<E> for RateLimit<S, C> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.wait_for(self.cost.of(event)).await?;
        self.inner.write(event).await
    }
}

impl<S: fmt::Debug, C: fmt::Debug> fmt::Debug for RateLimit<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("cost", &self.cost)
            .field("per_second", &self.rate)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}
