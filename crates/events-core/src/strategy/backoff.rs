use std::time::Duration;

use fastrand::Rng;

use crate::{
    config_error::ConfigError,
    setting,
    strategy::{
        circuit::{Circuit, Pace},
        progress::Progress,
        retry_strategy::RetryStrategy,
        verdict::Verdict,
    },
};

/// Waits after every failure, longer and longer while they last.
///
/// After `n` failures in a row the wait is at most `minimum + factor * 2^(n-1)`, never more than
/// `maximum` and never less than `minimum`; [`Jitter`] picks a moment in that range. The wait is
/// fixed when the failure is told, and an error with a
/// [`retry_after`](crate::SinkError::retry_after) makes it last until then, if that is longer.
///
/// What it counts is the health of the destination, not the luck of one event: all writes share it,
/// an event that comes after failures waits like those before it, and a success ends the waiting of
/// all. After a wait one write goes as a probe and the others wait for its answer, as with a
/// [`Breaker`](crate::Breaker), so a hundred writes that fail together are one failure.
///
/// It never gives up: wrap it in [`MaxAttempts`](crate::MaxAttempts) or
/// [`MaxElapsed`](crate::MaxElapsed) for that.
///
/// # Default
/// Minimum 1 second, factor 1 second, maximum 20 seconds, [`Jitter::Full`].
///
/// ```
/// use std::time::Duration;
/// use events_core::{ExponentialBackoff, Jitter};
///
/// let backoff = ExponentialBackoff::builder()
///     .minimum(Duration::from_millis(100))
///     .factor(Duration::from_millis(500))
///     .maximum(Duration::from_secs(60))
///     .jitter(Jitter::Equal)
///     .build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct ExponentialBackoff(Circuit<Growing>);

/// How a wait is picked, so that those who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Jitter {
    /// Always the longest.
    None,
    /// Anything from the minimum to the longest.
    #[default]
    Full,
    /// Anything from half of the longest to the longest.
    Equal,
    /// Anything from the minimum to three times the wait before, up to the maximum; the factor
    /// plays no part.
    Decorrelated,
}

#[derive(Debug)]
struct Growing {
    settings: ExponentialBackoffBuilder,
    rng: Rng,
    last: Duration,
}

impl Pace for Growing {
    fn pause(&mut self, failures: u32, _again: bool) -> Option<Duration> {
        let ExponentialBackoffBuilder { minimum, maximum, .. } = self.settings;
        let longest = self.settings.longest(failures);
        let (low, high) = match self.settings.jitter {
            Jitter::None => (longest, longest),
            Jitter::Full => (minimum, longest),
            Jitter::Equal => (minimum.max(longest / 2), longest),
            Jitter::Decorrelated => (minimum, maximum.min(self.last.max(minimum) * 3)),
        };
        let nanos = self.rng.u64(nanos(low)..=nanos(high));
        self.last = Duration::from_nanos(nanos);
        Some(self.last)
    }

    fn reset(&mut self) {
        self.last = Duration::ZERO;
    }
}

/// All pauses are a day at most, which fits by far.
const fn nanos(pause: Duration) -> u64 {
    pause.as_nanos() as u64
}

impl ExponentialBackoff {
    /// Minimum, factor, maximum, jitter and its seed.
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

impl<E: ?Sized> RetryStrategy<E> for ExponentialBackoff {
    fn proceed(&self, _event: &E, progress: &Progress) -> Verdict {
        self.0.proceed(progress)
    }

    fn success(&self, _event: &E, progress: &Progress) {
        self.0.success(progress);
    }

    fn failure(&self, _event: &E, progress: &Progress) {
        self.0.failure(progress);
    }

    fn release(&self, _event: &E, progress: &Progress) {
        self.0.release(progress);
    }
}

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
    pub const fn factor(mut self, factor: Duration) -> Self {
        self.factor = factor;
        self
    }

    /// No wait is longer, unless the destination asks for it; at least the minimum, at most a day.
    /// Default: 20 seconds.
    pub const fn maximum(mut self, maximum: Duration) -> Self {
        self.maximum = maximum;
        self
    }

    /// How a wait is picked. Default: [`Jitter::Full`].
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Makes the jitter the same in every run. Default: different each time.
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
        let rng = self.seed.map_or_else(Rng::new, Rng::with_seed);
        let limit = self.retry_after_limit;
        let pace = Growing { settings: self, rng, last: Duration::ZERO };
        ExponentialBackoff(Circuit::new(pace, limit))
    }

    /// The longest wait after so many failures in a row.
    fn longest(&self, failures: u32) -> Duration {
        // A day of nanoseconds shifted by this much still fits, and a single one is centuries.
        let doublings = failures.saturating_sub(1).min(80);
        let longest = self.minimum.as_nanos() + (self.factor.as_nanos() << doublings);
        Duration::from_nanos(longest.min(self.maximum.as_nanos()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::SinkError, testing::Write};
    use std::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    /// The waits after the first, second, ... failure in a row.
    fn waits(strategy: &ExponentialBackoff, count: usize) -> Vec<Duration> {
        let mut write = Write::new(strategy, Instant::now());
        let mut at = Duration::ZERO;
        (0..count)
            .map(|_| {
                assert!(matches!(write.ask(at), Verdict::Go | Verdict::Probe));
                write.fail(at);
                let Verdict::Wait(wait) = write.ask(at) else { panic!("no wait after a failure") };
                at += wait;
                wait
            })
            .collect()
    }

    fn with(jitter: Jitter) -> ExponentialBackoff {
        ExponentialBackoff::builder().jitter(jitter).seed(7).build().unwrap()
    }

    #[test]
    fn seed_test_exponential_backoff() {
        let strategy = ExponentialBackoff::default();
        let mut write = Write::new(&strategy, Instant::now());
        let mut at = Duration::ZERO;
        assert_eq!(write.ask(at), Verdict::Go, "untouched, it waits for nothing");
        for failures in 0..10 {
            write.fail(at);
            let bound = (SECOND + SECOND * (1 << failures)).min(20 * SECOND);
            let Verdict::Wait(wait) = write.ask(at) else { panic!("no wait after a failure") };
            assert!((SECOND..=bound).contains(&wait), "{wait:?} after {failures} failures");
            for _ in 0..1000 {
                assert_eq!(write.ask(at), Verdict::Wait(wait), "asking changes nothing");
            }
            at += wait;
            assert_eq!(write.ask(at), Verdict::Probe);
        }
        write.succeed();
        assert_eq!(write.ask(at), Verdict::Go, "recovered, it waits for nothing");
        write.fail(at);
        let Verdict::Wait(wait) = write.ask(at) else { panic!("no wait after a failure") };
        assert!(wait <= 2 * SECOND, "a recovery forgets earlier failures");
    }

    #[test]
    fn seed_19_it_grows_to_the_maximum_and_stays_there() {
        let expected = [2, 3, 5, 9, 17, 20, 20].map(Duration::from_secs);
        let grown = waits(&with(Jitter::None), 300);
        assert_eq!(grown[..7], expected);
        assert!(grown[7..].iter().all(|&wait| wait == 20 * SECOND));

        let day = Duration::from_hours(24);
        let builder = ExponentialBackoff::builder().minimum(Duration::from_nanos(1));
        for factor in [Duration::from_nanos(1), day] {
            let builder = builder.clone().factor(factor).maximum(day);
            for failures in [60, 65, 129, u32::MAX] {
                assert_eq!(builder.longest(failures), day);
            }
        }
    }

    #[test]
    fn seed_19_the_minimum_is_one() {
        for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Decorrelated] {
            let builder = ExponentialBackoff::builder().jitter(jitter).factor(SECOND / 2).seed(7);
            for strategy in [builder.clone(), builder.maximum(SECOND)] {
                let waits = waits(&strategy.build().unwrap(), 300);
                assert!(waits.iter().all(|&wait| wait >= SECOND), "{jitter:?}");
            }
        }
        let refused = ExponentialBackoff::builder().minimum(Duration::ZERO).build().unwrap_err();
        assert_eq!(refused.setting(), "minimum");
    }

    #[test]
    fn jitter_stays_in_its_range_and_uses_it() {
        let settled = |jitter, after: usize| waits(&with(jitter), 300).split_off(after);
        let spread = |waits: &[Duration]| {
            waits.iter().max().unwrap().saturating_sub(*waits.iter().min().unwrap())
        };

        let full = settled(Jitter::Full, 6);
        assert!(full.iter().all(|&wait| wait <= 20 * SECOND));
        assert!(spread(&full) > 15 * SECOND);
        let equal = settled(Jitter::Equal, 6);
        assert!(equal.iter().all(|wait| (10 * SECOND..=20 * SECOND).contains(wait)));
        assert!(spread(&equal) > 8 * SECOND);
        let decorrelated = settled(Jitter::Decorrelated, 0);
        assert!(decorrelated[0] <= 3 * SECOND);
        assert!(decorrelated.windows(2).all(|w| w[1] <= (w[0] * 3).min(20 * SECOND)));
        assert!(spread(&decorrelated) > 15 * SECOND);
    }

    #[test]
    fn a_success_forgets_the_wait_before() {
        let strategy = with(Jitter::Decorrelated);
        for failures in [10, 1].repeat(20) {
            let waits = waits(&strategy, failures);
            assert!(waits[0] <= 3 * SECOND);
            let mut write = Write::new(&strategy, Instant::now());
            assert_eq!(write.ask(Duration::from_hours(1)), Verdict::Probe);
            write.succeed();
        }
    }

    #[test]
    fn a_seed_repeats_itself() {
        assert_eq!(waits(&with(Jitter::Full), 20), waits(&with(Jitter::Full), 20));
        let other = ExponentialBackoff::builder().seed(8).build().unwrap();
        assert_ne!(waits(&with(Jitter::Full), 20), waits(&other, 20));
    }

    #[test]
    fn writes_that_fail_together_are_one_failure() {
        let strategy = with(Jitter::None);
        let start = Instant::now();
        let mut writes: Vec<_> = (0..100).map(|_| Write::new(&strategy, start)).collect();
        for write in &mut writes {
            assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        }
        for write in &mut writes {
            write.fail(Duration::ZERO);
        }
        assert_eq!(writes[0].ask(Duration::ZERO), Verdict::Wait(2 * SECOND));
        let mut newcomer = Write::new(&strategy, start);
        assert_eq!(newcomer.ask(SECOND), Verdict::Wait(SECOND));
    }

    #[test]
    fn a_destination_may_ask_for_more_than_the_maximum() {
        let strategy = with(Jitter::None);
        let mut write = Write::new(&strategy, Instant::now());
        assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        let busy = SinkError::unavailable("busy").with_retry_after(90 * SECOND);
        write.fail_with(Duration::ZERO, busy);
        assert_eq!(write.ask(Duration::ZERO), Verdict::Wait(90 * SECOND));
    }

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
