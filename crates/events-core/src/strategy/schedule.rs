use std::{fmt, sync::Arc, time::Duration};

use crate::{config_error::ConfigError, error::SinkError, setting};

/// When an event whose delivery failed is delivered again, each event by itself.
///
/// A queue that is given one parks the event until then and goes on with the others; a
/// [`RetryStrategy`](crate::RetryStrategy), in contrast, holds up all that come behind. It is asked
/// after each failure that another attempt may help against, and says how long the event waits, or
/// that it has been tried often enough: then the event is a dead letter.
///
/// # Default
/// No jitter, no limit on the attempts of [`exponential`](Self::exponential), none on the age. A
/// destination that asks to be left alone, in a `Retry-After`, is granted up to an hour.
///
/// ```
/// use std::time::Duration;
/// use events_core::{Failure, Schedule, SinkError};
///
/// let schedule = Schedule::delays([5, 300].map(Duration::from_secs));
/// let error = SinkError::unavailable("503");
/// let after = |attempts| schedule.delay(&Failure::new(attempts, Duration::ZERO, &error));
/// assert_eq!(after(1), Some(Duration::from_secs(5)));
/// assert_eq!(after(2), Some(Duration::from_secs(300)));
/// assert_eq!(after(3), None, "the third attempt was the last");
/// ```
#[derive(Clone)]
pub struct Schedule {
    delays: Delays,
    attempts: Option<u32>,
    max_age: Option<Duration>,
    jitter: f64,
    retry_after_limit: Duration,
}

#[derive(Clone)]
enum Delays {
    List(Arc<[Duration]>),
    Exponential { first: Duration, maximum: Duration },
    Custom(Custom),
}

type Custom = Arc<dyn Fn(&Failure<'_>) -> Option<Duration> + Send + Sync>;

/// What a [`Schedule`] is asked about: one event, just after an attempt to deliver it has failed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// How many attempts there were, the one that has just failed included.
    pub attempts: u32,
    /// How long ago the event was written.
    pub age: Duration,
    /// Why the last attempt failed.
    pub error: &'a SinkError,
}

impl<'a> Failure<'a> {
    /// An event of this `age` whose attempt number `attempts` has failed with `error`.
    pub const fn new(attempts: u32, age: Duration, error: &'a SinkError) -> Self {
        Self { attempts, age, error }
    }
}

impl Schedule {
    /// These waits, one after each failure; the failure after the last of them ends it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::Schedule;
    ///
    /// // Four attempts in all.
    /// let schedule = Schedule::delays([1, 10, 60].map(Duration::from_secs)).jitter(0.1);
    /// # let _ = schedule;
    /// ```
    pub fn delays(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self::new(Delays::List(delays.into_iter().collect()))
    }

    /// Waits `first`, then twice as long after each further failure, but never longer than
    /// `maximum`. It goes on for ever, unless [`attempts`](Self::attempts) or
    /// [`max_age`](Self::max_age) ends it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::{Failure, Schedule, SinkError};
    ///
    /// let schedule = Schedule::exponential(Duration::from_secs(1), Duration::from_secs(60));
    /// let error = SinkError::unavailable("503");
    /// let waits = [1, 2, 3, 9].map(|n| schedule.delay(&Failure::new(n, Duration::ZERO, &error)));
    /// assert_eq!(waits, [1, 2, 4, 60].map(|seconds| Some(Duration::from_secs(seconds))));
    /// ```
    pub fn exponential(first: Duration, maximum: Duration) -> Self {
        Self::new(Delays::Exponential { first, maximum })
    }

    /// The ten attempts in 75 hours that the [specification of Standard
    /// Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
    /// gives as an example, each moved by up to a tenth.
    pub fn standard_webhooks() -> Self {
        const HOUR: u64 = 60 * 60;
        let seconds =
            [5, 5 * 60, 30 * 60, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self::delays(seconds.map(Duration::from_secs)).jitter(0.1)
    }

    /// What `delay` says, which is asked after each failure; `None` ends it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::Schedule;
    ///
    /// // As long as the event is old, for a day.
    /// let schedule = Schedule::from_fn(|failure| Some(failure.age.max(Duration::from_secs(1))))
    ///     .max_age(Duration::from_hours(24));
    /// # let _ = schedule;
    /// ```
    pub fn from_fn(
        delay: impl Fn(&Failure<'_>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        Self::new(Delays::Custom(Arc::new(delay)))
    }

    const fn new(delays: Delays) -> Self {
        let retry_after_limit = setting::RETRY_AFTER_LIMIT;
        Self { delays, attempts: None, max_age: None, jitter: 0.0, retry_after_limit }
    }

    /// At most so many attempts, the first delivery included; at least 1.
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// No attempt once the event is older than this.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Moves each wait at random by up to this fraction of it, in either direction, so that events
    /// that failed together do not come back together; from 0 to 1.
    pub const fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// How much of a destination's wish to be left alone is granted; none at zero. Default: an
    /// hour.
    pub const fn retry_after_limit(mut self, limit: Duration) -> Self {
        self.retry_after_limit = limit;
        self
    }

    /// How long the event of this `failure` waits for its next attempt; `None` if there is none.
    pub fn delay(&self, failure: &Failure<'_>) -> Option<Duration> {
        let failures = failure.attempts.max(1);
        if self.attempts.is_some_and(|attempts| failures >= attempts) {
            return None;
        }
        let delay = match &self.delays {
            Delays::List(delays) => *delays.get(failures as usize - 1)?,
            Delays::Exponential { first, maximum } => {
                let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                first.saturating_mul(factor).min(*maximum)
            }
            Delays::Custom(delay) => delay(failure)?,
        };
        let asked = failure.error.retry_after().unwrap_or_default().min(self.retry_after_limit);
        let delay = self.moved(delay).max(asked);
        let too_old = |age| failure.age.saturating_add(delay) > age;
        (!self.max_age.is_some_and(too_old)).then_some(delay)
    }

    fn moved(&self, delay: Duration) -> Duration {
        if self.jitter == 0.0 {
            return delay;
        }
        let factor = 1.0 + self.jitter * (2.0 * fastrand::f64() - 1.0);
        Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(delay)
    }

    /// Refuses, as the setting `redeliver`, what makes no sense. A queue asks this when it is built.
    ///
    /// # Errors
    /// No attempt at all, a jitter that is no fraction, a first wait of zero that would be doubled,
    /// or one that is longer than the longest.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |problem: String| Err(ConfigError::new("redeliver", problem));
        if self.attempts == Some(0) {
            return refuse("must allow at least 1 attempt, was 0".into());
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return refuse(format!("must have a jitter from 0 to 1, was {}", self.jitter));
        }
        if let Delays::Exponential { first, maximum } = &self.delays {
            if first.is_zero() {
                return refuse("must wait more than zero at first".into());
            }
            if maximum < first {
                return refuse(format!(
                    "must have a maximum of at least the first wait of {first:?}, was {maximum:?}"
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Schedule");
        match &self.delays {
            Delays::List(delays) => debug.field("delays", delays),
            Delays::Exponential { first, maximum } => {
                debug.field("first", first).field("maximum", maximum)
            }
            Delays::Custom(_) => debug.field("delays", &"custom"),
        };
        debug
            .field("attempts", &self.attempts)
            .field("max_age", &self.max_age)
            .field("jitter", &self.jitter)
            .field("retry_after_limit", &self.retry_after_limit)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(schedule: &Schedule, attempts: u32, error: &SinkError) -> Option<Duration> {
        schedule.delay(&Failure::new(attempts, SECOND * attempts, error))
    }

    #[test]
    fn standard_webhooks_are_ten_attempts_in_75_hours() {
        let schedule = Schedule::standard_webhooks().jitter(0.0);
        let error = SinkError::unavailable("503");
        let all: Vec<_> = (1..).map_while(|attempts| after(&schedule, attempts, &error)).collect();
        assert_eq!(all.len() + 1, 10);
        assert_eq!(all.iter().sum::<Duration>().as_secs() / 3600, 75);
    }

    #[test]
    fn attempts_age_and_the_destination_change_what_it_says() {
        let error = SinkError::unavailable("503");
        let busy = error.clone().with_retry_after(90 * SECOND);
        let endless = Schedule::exponential(SECOND, 20 * SECOND);
        assert_eq!(after(&endless, u32::MAX, &error), Some(20 * SECOND));
        assert_eq!(after(&endless, 1, &busy), Some(90 * SECOND));
        let unmoved = endless.clone().retry_after_limit(Duration::ZERO);
        assert_eq!(after(&unmoved, 1, &busy), Some(SECOND));
        let three = endless.clone().attempts(3);
        assert_eq!([2, 3].map(|n| after(&three, n, &error)), [Some(2 * SECOND), None]);
        let young = endless.max_age(11 * SECOND);
        assert_eq!([3, 4].map(|n| after(&young, n, &error)), [Some(4 * SECOND), None]);
    }

    #[test]
    fn jitter_stays_in_its_range_and_uses_it() {
        let schedule = Schedule::delays([100 * SECOND]).jitter(0.1);
        let error = SinkError::full();
        let waits: Vec<_> =
            (0..1000).map(|_| after(&schedule, 1, &error).unwrap().as_secs()).collect();
        assert!(waits.iter().all(|wait| (90..=110).contains(wait)));
        assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > 15);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let exponential = |first, maximum| Schedule::exponential(first, maximum).check();
        assert!(exponential(Duration::ZERO, SECOND).is_err());
        assert!(exponential(SECOND, Duration::ZERO).is_err());
        assert!(exponential(SECOND, SECOND).is_ok());
        let list = || Schedule::delays([]);
        assert!(list().attempts(0).check().is_err());
        for jitter in [-0.1, 1.1, f64::NAN] {
            assert!(list().jitter(jitter).check().is_err());
        }
    }
}
