use std::time::Duration;

use crate::{config_error::ConfigError, setting, strategy::breaker::Breaker};

/// Sets up a [`Breaker`].
#[derive(Debug, Clone)]
pub struct BreakerBuilder {
    threshold: u32,
    backoff: Duration,
    retry_after_limit: Duration,
}

impl BreakerBuilder {
    /// How many failures in a row open it; at least 1. Default: 5.
    pub const fn threshold(mut self, failures: u32) -> Self {
        self.threshold = failures;
        self
    }

    /// How long it stays open; more than zero, at most a day. Default: 1 second.
    pub const fn backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// How much of a destination's wish to be left alone is granted, at most a day; none at zero.
    /// Default: 1 hour.
    ///
    /// ```
    /// use events_core::Breaker;
    /// use std::time::Duration;
    ///
    /// let stubborn = Breaker::builder().retry_after_limit(Duration::ZERO).build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn retry_after_limit(mut self, limit: Duration) -> Self {
        self.retry_after_limit = limit;
        self
    }

    /// The breaker.
    ///
    /// ```
    /// use events_core::Breaker;
    ///
    /// let refused = Breaker::builder().threshold(0).build().unwrap_err();
    /// assert_eq!(refused.setting(), "threshold");
    /// ```
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn build(self) -> Result<Breaker, ConfigError> {
        setting::at_least_one("threshold", self.threshold)?;
        setting::more_than_zero("backoff", self.backoff)?;
        setting::at_most("backoff", self.backoff, setting::LONGEST_PAUSE)?;
        setting::at_most("retry_after_limit", self.retry_after_limit, setting::LONGEST_PAUSE)?;
        Ok(self.start())
    }

    fn start(self) -> Breaker {
        Breaker::start(self.threshold, self.backoff, self.retry_after_limit)
    }
}

impl Breaker {
    /// Opens after `threshold` failures in a row, for `backoff`.
    ///
    /// ```
    /// use events_core::Breaker;
    /// use std::time::Duration;
    ///
    /// let breaker = Breaker::new(3, Duration::from_secs(30))?;
    /// assert!(Breaker::new(0, Duration::from_secs(30)).is_err());
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// A threshold or backoff of zero, or a backoff of more than a day.
    pub fn new(threshold: u32, backoff: Duration) -> Result<Self, ConfigError> {
        Self::builder().threshold(threshold).backoff(backoff).build()
    }

    /// Sets threshold, backoff and how far a destination's wish is heeded, one by one.
    ///
    /// ```
    /// use events_core::Breaker;
    /// use std::time::Duration;
    ///
    /// let breaker = Breaker::builder().threshold(3).backoff(Duration::from_secs(30)).build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub const fn builder() -> BreakerBuilder {
        BreakerBuilder {
            threshold: 5,
            backoff: Duration::from_secs(1),
            retry_after_limit: setting::RETRY_AFTER_LIMIT,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::builder().start()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let refused = |builder: BreakerBuilder| builder.build().unwrap_err().setting();
        assert_eq!(refused(Breaker::builder().threshold(0)), "threshold");
        assert_eq!(refused(Breaker::builder().backoff(Duration::ZERO)), "backoff");
        assert_eq!(refused(Breaker::builder().backoff(Duration::MAX)), "backoff");
        let limitless = Breaker::builder().retry_after_limit(Duration::MAX);
        assert_eq!(refused(limitless), "retry_after_limit");
    }
}
