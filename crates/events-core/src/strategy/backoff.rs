use crate::strategy::{
    circuit::Circuit, jitter::Growing, progress::Progress, retry_strategy::RetryStrategy,
    verdict::Verdict,
};

/// Waits after every failure, longer and longer while they last.
///
/// After `n` failures in a row the wait is at most `minimum + factor * 2^(n-1)`, never more than
/// `maximum` and never less than `minimum`; [`Jitter`](crate::Jitter) picks a moment in that range. The wait is
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
/// Minimum 1 second, factor 1 second, maximum 20 seconds, [`Jitter::Full`](crate::Jitter::Full).
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
pub struct ExponentialBackoff(pub(super) Circuit<Growing>);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::SinkError, strategy::jitter::Jitter, testing::Write};
    use std::time::{Duration, Instant};

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
}
