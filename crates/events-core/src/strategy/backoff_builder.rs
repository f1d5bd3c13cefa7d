use std::time::Duration;

use fastrand::Rng;

use crate::{
    config_error::ConfigError,
    setting,
    strategy::{
        backoff::ExponentialBackoff,
        circuit::Circuit,
        jitter::{Growing, Jitter},
    },
};

/// Sets up an [`ExponentialBackoff`].
#[derive(Debug, Clone)]
pub struct ExponentialBackoffBuilder {
    minimum: Duration,
    factor: Duration,
    maximum: Duration,
    jitter: Jitter,
    seed: Option<u64>,
    retry_after_limit: Duration,
}

impl ExponentialBackoffBuilder {
    /// No wait is shorter; more than zero. Default: 1 second.
    pub const fn minimum(mut self, minimum: Duration) -> Self {
        self.minimum = minimum;
        self
    }

    /// What the first failure adds to the minimum, at most; each further one doubles it. Zero makes
    /// every wait the minimum. Default: 1 second.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use events_core::{ExponentialBackoff, Jitter, Progress, RetryStrategy, SinkError, Verdict};
    ///
    /// let backoff = ExponentialBackoff::builder()
    ///     .minimum(Duration::from_secs(1))
    ///     .factor(Duration::from_secs(2))
    ///     .jitter(Jitter::None)
    ///     .build()?;
    /// let mut write = Progress::at(Instant::now());
    /// write.begin(backoff.proceed("event", &write));
    /// write.fail(SinkError::unavailable("no route to host"));
    /// backoff.failure("event", &write);
    /// assert_eq!(backoff.proceed("event", &write), Verdict::Wait(Duration::from_secs(3)));
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn factor(mut self, factor: Duration) -> Self {
        self.factor = factor;
        self
    }

    /// No wait is longer, unless the destination asks for it; at least the minimum, at most a day.
    /// Default: 20 seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::ExponentialBackoff;
    ///
    /// let patient = ExponentialBackoff::builder().maximum(Duration::from_hours(1)).build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn maximum(mut self, maximum: Duration) -> Self {
        self.maximum = maximum;
        self
    }

    /// How a wait is picked. Default: [`Jitter::Full`].
    ///
    /// ```
    /// use events_core::{ExponentialBackoff, Jitter};
    ///
    /// let spread = ExponentialBackoff::builder().jitter(Jitter::Decorrelated).build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Makes the jitter the same in every run. Default: different each time.
    ///
    /// ```
    /// use events_core::ExponentialBackoff;
    ///
    /// let repeatable = ExponentialBackoff::builder().seed(7).build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How much of a destination's wish to be left alone is granted, at most a day; none at zero.
    /// Default: 1 hour.
    pub const fn retry_after_limit(mut self, limit: Duration) -> Self {
        self.retry_after_limit = limit;
        self
    }

    /// The strategy.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::ExponentialBackoff;
    ///
    /// let hour = Duration::from_hours(1);
    /// let refused = ExponentialBackoff::builder().minimum(hour).build().unwrap_err();
    /// assert_eq!(refused.setting(), "maximum");
    /// ```
    ///
    /// # Errors
    /// A setting out of its bounds, or a maximum under the minimum.
    pub fn build(self) -> Result<ExponentialBackoff, ConfigError> {
        setting::more_than_zero("minimum", self.minimum)?;
        setting::at_most("factor", self.factor, setting::LONGEST_PAUSE)?;
        setting::at_most("maximum", self.maximum, setting::LONGEST_PAUSE)?;
        setting::at_most("retry_after_limit", self.retry_after_limit, setting::LONGEST_PAUSE)?;
        if self.maximum < self.minimum {
            let problem = format!(
                "must be at least the minimum of {:?}, was {:?}",
                self.minimum, self.maximum
            );
            return Err(ConfigError::new("maximum", problem));
        }
        Ok(self.start())
    }

    fn start(self) -> ExponentialBackoff {
        let Self { minimum, factor, maximum, jitter, seed, retry_after_limit } = self;
        let rng = seed.map_or_else(Rng::new, Rng::with_seed);
        let pace = Growing { minimum, factor, maximum, jitter, rng, last: Duration::ZERO };
        ExponentialBackoff(Circuit::new(pace, retry_after_limit))
    }
}

impl ExponentialBackoff {
    /// Sets minimum, factor, maximum, jitter and its seed, one by one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::ExponentialBackoff;
    ///
    /// let quick = ExponentialBackoff::builder().minimum(Duration::from_millis(50)).build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn builder() -> ExponentialBackoffBuilder {
        ExponentialBackoffBuilder {
            minimum: Duration::from_secs(1),
            factor: Duration::from_secs(1),
            maximum: Duration::from_secs(20),
            jitter: Jitter::Full,
            seed: None,
            retry_after_limit: setting::RETRY_AFTER_LIMIT,
        }
    }
}

impl Default for ExponentialBackoff {
    fn default() -> Self {
        Self::builder().start()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let builder = ExponentialBackoff::builder;
        let refused = |builder: ExponentialBackoffBuilder| builder.build().unwrap_err().setting();
        assert_eq!(refused(builder().maximum(SECOND / 2)), "maximum");
        assert_eq!(refused(builder().maximum(Duration::MAX)), "maximum");
        assert_eq!(refused(builder().factor(Duration::MAX)), "factor");
        assert_eq!(refused(builder().retry_after_limit(Duration::MAX)), "retry_after_limit");
        assert!(builder().factor(Duration::ZERO).maximum(SECOND).build().is_ok());
    }
}
