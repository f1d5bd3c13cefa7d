use std::time::Duration;

use crate::{
    config_error::ConfigError,
    setting,
    strategy::{progress::Progress, retry_strategy::RetryStrategy, verdict::Verdict},
};

/// A strategy that gives a write up after so many attempts.
///
/// ```
/// use events_core::{Breaker, MaxAttempts};
///
/// let strategy = MaxAttempts::new(Breaker::default(), 10)?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct MaxAttempts<R> {
    inner: R,
    attempts: u32,
}

impl<R> MaxAttempts<R> {
    /// As `inner` says, but at most `attempts` times, the first one included.
    ///
    /// ```
    /// use events_core::{Breaker, MaxAttempts};
    ///
    /// let strategy = MaxAttempts::new(Breaker::default(), 3)?;
    /// assert!(MaxAttempts::new(Breaker::default(), 0).is_err());
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Zero attempts.
    pub fn new(inner: R, attempts: u32) -> Result<Self, ConfigError> {
        setting::at_least_one("attempts", attempts)?;
        Ok(Self { inner, attempts })
    }

    /// The strategy inside.
    pub const fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The strategy inside, by itself.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E: ?Sized, R: RetryStrategy<E>> RetryStrategy<E> for MaxAttempts<R> {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        if progress.attempts() >= self.attempts {
            return Verdict::GiveUp;
        }
        self.inner.proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        self.inner.success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        self.inner.failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        self.inner.release(event, progress);
    }
}

/// A strategy that gives a write up after so much time.
///
/// The limit counts waits and attempts from the first question on. It does not cut off an attempt
/// under way, which is the sink's business. A write that meets an open breaker may be given up
/// without any attempt.
///
/// ```
/// use std::time::Duration;
/// use events_core::{ExponentialBackoff, MaxElapsed};
///
/// let strategy = MaxElapsed::new(ExponentialBackoff::default(), Duration::from_mins(15))?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct MaxElapsed<R> {
    inner: R,
    limit: Duration,
}

impl<R> MaxElapsed<R> {
    /// As `inner` says, but with no attempt that begins after `limit`.
    ///
    /// # Errors
    /// A limit of zero, or of more than a year.
    pub fn new(inner: R, limit: Duration) -> Result<Self, ConfigError> {
        setting::more_than_zero("limit", limit)?;
        setting::at_most("limit", limit, setting::LONGEST_LIMIT)?;
        Ok(Self { inner, limit })
    }

    /// The strategy inside.
    pub const fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The strategy inside, by itself.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E: ?Sized, R: RetryStrategy<E>> RetryStrategy<E> for MaxElapsed<R> {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        let rest = self.limit.saturating_sub(progress.elapsed());
        if rest.is_zero() {
            return Verdict::GiveUp;
        }
        match self.inner.proceed(event, progress) {
            // Not given up yet even if it waits for longer: the answer to another write may let
            // this one go before.
            Verdict::Wait(wait) => Verdict::Wait(wait.min(rest)),
            verdict => verdict,
        }
    }

    fn success(&self, event: &E, progress: &Progress) {
        self.inner.success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        self.inner.failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        self.inner.release(event, progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{strategy::breaker::Breaker, testing::Write};
    use std::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn so_many_attempts_and_no_more() {
        let strategy = MaxAttempts::new(Breaker::new(100, SECOND).unwrap(), 3).unwrap();
        let mut write = Write::new(&strategy, Instant::now());
        for _ in 0..3 {
            assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
            write.fail(Duration::ZERO);
        }
        assert_eq!(write.ask(Duration::ZERO), Verdict::GiveUp);
        assert_eq!(Write::new(&strategy, Instant::now()).ask(Duration::ZERO), Verdict::Go);
    }

    #[test]
    fn no_attempt_begins_after_the_limit() {
        let strategy = MaxElapsed::new(Breaker::new(1, 4 * SECOND).unwrap(), 10 * SECOND).unwrap();
        let mut write = Write::new(&strategy, Instant::now());
        assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        write.fail(3 * SECOND);
        assert_eq!(write.ask(3 * SECOND), Verdict::Wait(4 * SECOND));
        assert_eq!(write.ask(7 * SECOND), Verdict::Probe);
        write.fail(8 * SECOND);
        assert_eq!(write.ask(8 * SECOND), Verdict::Wait(2 * SECOND), "as long as the limit");
        assert_eq!(write.ask(10 * SECOND), Verdict::GiveUp);
    }

    #[test]
    fn the_strategy_inside_hears_the_answers() {
        let inner = Breaker::new(1, SECOND).unwrap();
        let inner = MaxElapsed::new(inner, 10 * SECOND).unwrap();
        let strategy = MaxAttempts::new(inner, 10).unwrap();
        let start = Instant::now();
        let mut write = Write::new(&strategy, start);
        assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        write.fail(Duration::ZERO);
        assert_eq!(write.ask(SECOND), Verdict::Probe);
        write.release();
        assert_eq!(write.ask(SECOND), Verdict::Probe);
        write.succeed();
        assert_eq!(write.ask(SECOND), Verdict::Go);
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        assert_eq!(MaxAttempts::new((), 0).unwrap_err().setting(), "attempts");
        assert_eq!(MaxElapsed::new((), Duration::ZERO).unwrap_err().setting(), "limit");
        assert_eq!(MaxElapsed::new((), Duration::MAX).unwrap_err().setting(), "limit");
    }
}
