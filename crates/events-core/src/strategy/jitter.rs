//! How long a wait grows, and where in it those who failed together part.

use std::time::Duration;

use fastrand::Rng;

use crate::strategy::circuit::Pace;

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

/// Waits that double from failure to failure.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) minimum: Duration,
    pub(super) factor: Duration,
    pub(super) maximum: Duration,
    pub(super) jitter: Jitter,
    pub(super) rng: Rng,
    /// The wait before, while the destination is not well.
    pub(super) last: Duration,
}

impl Pace for Growing {
    fn pause(&mut self, failures: u32, _again: bool) -> Option<Duration> {
        let Self { minimum, maximum, .. } = *self;
        let longest = self.longest(failures);
        let (low, high) = match self.jitter {
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

impl Growing {
    /// The longest wait after so many failures in a row.
    fn longest(&self, failures: u32) -> Duration {
        // A day of nanoseconds shifted by this much still fits, and a single one is centuries.
        let doublings = failures.saturating_sub(1).min(80);
        let longest = self.minimum.as_nanos() + (self.factor.as_nanos() << doublings);
        Duration::from_nanos(longest.min(self.maximum.as_nanos()) as u64)
    }
}

/// All pauses are a day at most, which fits by far.
const fn nanos(pause: Duration) -> u64 {
    pause.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_failures_is_too_many_to_double() {
        let day = Duration::from_hours(24);
        let (minimum, jitter) = (Duration::from_nanos(1), Jitter::None);
        for factor in [minimum, day] {
            let mut growing = Growing {
                minimum,
                factor,
                maximum: day,
                jitter,
                rng: Rng::with_seed(7),
                last: Duration::ZERO,
            };
            for failures in [60, 65, 129, u32::MAX] {
                assert_eq!(growing.pause(failures, false), Some(day));
            }
        }
    }
}
