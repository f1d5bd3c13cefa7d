use std::time::Duration;

use crate::{
    runtime::trace::TraceLimit,
    strategy::{
        circuit::{Circuit, Pace},
        progress::Progress,
        retry_strategy::RetryStrategy,
        verdict::Verdict,
    },
};

/// A circuit breaker: leaves a failing destination alone for a while, then lets one write find out
/// how it is.
///
/// - **Closed**, every write goes, and a failed one goes again at once. After `threshold` failures
///   in a row it opens.
/// - **Open**, no write goes, for `backoff`. An error with a
///   [`retry_after`](crate::SinkError::retry_after) opens it at once and until then, if that is
///   longer.
/// - **Half-open**, one write goes as a probe and all others wait for its answer. A success closes
///   the breaker and lets them go; a failure opens it again.
///
/// It never gives up: wrap it in [`MaxAttempts`](crate::MaxAttempts) or
/// [`MaxElapsed`](crate::MaxElapsed) for that. Several sinks to one destination may share one, in
/// an `Arc`. A write to a healthy destination costs it two atomic loads.
///
/// # Default
/// 5 failures, 1 second.
///
/// ```
/// use std::time::{Duration, Instant};
/// use events_core::{Breaker, Progress, RetryStrategy, SinkError, Verdict};
///
/// let breaker = Breaker::new(1, Duration::from_secs(10))?;
/// let start = Instant::now();
/// let mut write = Progress::at(start);
/// assert_eq!(breaker.proceed("event", &write), Verdict::Go);
/// write.begin(Verdict::Go);
/// write.fail(SinkError::unavailable("no route to host"));
/// breaker.failure("event", &write);
///
/// assert_eq!(breaker.proceed("event", &write), Verdict::Wait(Duration::from_secs(10)));
/// write.set_now(start + Duration::from_secs(10));
/// assert_eq!(breaker.proceed("event", &write), Verdict::Probe);
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Breaker {
    circuit: Circuit<Steady>,
    /// What is told of it, rarely: with a short pause it may open with every event.
    opens: TraceLimit,
    stays_open: TraceLimit,
    closes: TraceLimit,
}

#[derive(Debug)]
pub(crate) struct Steady {
    threshold: u32,
    backoff: Duration,
}

impl Pace for Steady {
    fn pause(&mut self, failures: u32, again: bool) -> Option<Duration> {
        (again || failures >= self.threshold).then_some(self.backoff)
    }
}

impl Breaker {
    pub(super) fn start(threshold: u32, backoff: Duration, retry_after_limit: Duration) -> Self {
        let pace = Steady { threshold, backoff };
        Self {
            circuit: Circuit::new(pace, retry_after_limit),
            opens: TraceLimit::new(),
            stays_open: TraceLimit::new(),
            closes: TraceLimit::new(),
        }
    }
}

impl Breaker {
    /// Whether it leaves the destination alone, or is finding out how it is.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::Breaker;
    ///
    /// assert!(!Breaker::new(5, Duration::from_secs(1))?.is_open());
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub fn is_open(&self) -> bool {
        self.circuit.is_open()
    }

    /// What is under it, for one who asks under a lock of its own: it tells nobody.
    #[cfg(feature = "engine")]
    pub(crate) const fn circuit(&self) -> &Circuit<Steady> {
        &self.circuit
    }

    /// The attempt of this `progress` has succeeded. True if that has closed it.
    #[inline]
    pub(crate) fn succeeded(&self, progress: &Progress) -> bool {
        let closes = self.circuit.success(progress);
        if closes {
            self.closes.tell(1, |count| {
                tracing::info!(count, "the breaker closes: the destination takes events again");
            });
        }
        closes
    }

    /// The attempt of this `progress` has failed.
    pub(crate) fn failed(&self, progress: &Progress) {
        let Some(opened) = self.circuit.failure(progress) else { return };
        let (failures, pause) = (opened.failures, opened.pause);
        if opened.again {
            self.stays_open.tell(1, |count| {
                tracing::debug!(
                    count,
                    failures,
                    ?pause,
                    "the probe failed: the breaker stays open"
                );
            });
        } else {
            self.opens
                .tell(1, |count| tracing::warn!(count, failures, ?pause, "the breaker opens"));
        }
    }
}

impl<E: ?Sized> RetryStrategy<E> for Breaker {
    fn proceed(&self, _event: &E, progress: &Progress) -> Verdict {
        self.circuit.proceed(progress)
    }

    fn success(&self, _event: &E, progress: &Progress) {
        self.succeeded(progress);
    }

    fn failure(&self, _event: &E, progress: &Progress) {
        self.failed(progress);
    }

    fn release(&self, _event: &E, progress: &Progress) {
        self.circuit.release(progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::SinkError, testing::Write};
    use std::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(threshold: u32) -> Breaker {
        Breaker::new(threshold, 10 * SECOND).unwrap()
    }

    /// A write whose attempt opens `breaker` at 0 s.
    fn opened(breaker: &Breaker, start: Instant) -> Write<'_, Breaker> {
        let mut write = Write::new(breaker, start);
        assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        write.fail(Duration::ZERO);
        write
    }

    #[test]
    fn opens_after_so_many_failures_in_a_row() {
        let breaker = breaker(3);
        let start = Instant::now();
        let mut write = Write::new(&breaker, start);
        for failures in [2, 2, 3] {
            for _ in 0..failures {
                assert_eq!(write.ask(SECOND), Verdict::Go);
                write.fail(SECOND);
            }
            if failures < 3 {
                assert_eq!(write.ask(SECOND), Verdict::Go);
                write.succeed();
            }
        }
        assert_eq!(write.ask(SECOND), Verdict::Wait(10 * SECOND));
    }

    #[test]
    fn a_failed_probe_opens_it_again_though_the_threshold_is_far() {
        let breaker = breaker(5);
        let mut write = Write::new(&breaker, Instant::now());
        assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        let busy = SinkError::unavailable("busy").with_retry_after(SECOND);
        write.fail_with(Duration::ZERO, busy);
        assert_eq!(write.ask(SECOND), Verdict::Probe);
        write.fail(SECOND);
        assert_eq!(write.ask(SECOND), Verdict::Wait(10 * SECOND));
        assert_eq!(write.ask(11 * SECOND), Verdict::Probe);
    }

    #[test]
    fn seed_17_a_backoff_lasts_as_long_as_was_said_when_it_began() {
        let breaker = Breaker::new(1, Duration::from_hours(1)).unwrap();
        let mut write = opened(&breaker, Instant::now());
        for (passed, left) in [(0, 60), (20, 40), (20, 40), (59, 1)] {
            let left = Verdict::Wait(Duration::from_mins(left));
            assert_eq!(write.ask(Duration::from_mins(passed)), left);
        }
        assert_eq!(write.ask(Duration::from_hours(1)), Verdict::Probe);
    }

    #[test]
    fn seed_18_one_of_a_hundred_waiting_writes_probes() {
        let breaker = breaker(1);
        let start = Instant::now();
        opened(&breaker, start);
        let mut writes: Vec<_> = (0..100).map(|_| Write::new(&breaker, start)).collect();
        let mut verdicts =
            |at: Duration| -> Vec<_> { writes.iter_mut().map(|write| write.ask(at)).collect() };
        assert_eq!(verdicts(9 * SECOND), [Verdict::Wait(SECOND); 100]);
        let probing = verdicts(10 * SECOND);
        assert_eq!(probing[0], Verdict::Probe);
        assert_eq!(probing[1..], [Verdict::Wait(10 * SECOND); 99]);

        writes[0].fail(12 * SECOND);
        assert_eq!(writes[7].ask(12 * SECOND), Verdict::Wait(10 * SECOND));
        assert_eq!(writes[7].ask(22 * SECOND), Verdict::Probe);
        writes[7].release();
        assert_eq!(writes[8].ask(22 * SECOND), Verdict::Probe);
        writes[8].succeed();
        for write in &mut writes {
            assert_eq!(write.ask(22 * SECOND), Verdict::Go);
        }
    }

    #[test]
    fn attempts_from_before_it_opened_change_nothing() {
        let breaker = breaker(1);
        let start = Instant::now();
        let mut early: Vec<_> = (0..4).map(|_| Write::new(&breaker, start)).collect();
        for write in &mut early {
            assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        }
        let mut write = opened(&breaker, start);
        early[0].fail(5 * SECOND);
        early[1].succeed();
        assert_eq!(write.ask(5 * SECOND), Verdict::Wait(5 * SECOND));
        assert_eq!(write.ask(10 * SECOND), Verdict::Probe);
        early[2].fail(10 * SECOND);
        early[3].release();
        assert_eq!(Write::new(&breaker, start).ask(10 * SECOND), Verdict::Wait(10 * SECOND));
    }

    #[test]
    fn a_destination_that_asks_for_time_gets_it_at_once_up_to_a_limit() {
        let start = Instant::now();
        let asked = |wait| SinkError::unavailable("busy").with_retry_after(wait);
        let opens_for = |wait| {
            let breaker = breaker(5);
            let mut write = Write::new(&breaker, start);
            assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
            write.fail_with(Duration::ZERO, asked(wait));
            write.ask(Duration::ZERO)
        };
        assert_eq!(opens_for(2 * SECOND), Verdict::Wait(2 * SECOND));
        assert_eq!(opens_for(Duration::MAX), Verdict::Wait(Duration::from_hours(1)));
        assert_eq!(opens_for(Duration::ZERO), Verdict::Go);

        let breaker = breaker(1);
        let mut late = [Write::new(&breaker, start), Write::new(&breaker, start)];
        for write in &mut late {
            assert_eq!(write.ask(Duration::ZERO), Verdict::Go);
        }
        let mut write = opened(&breaker, start);
        late[0].fail_with(SECOND, asked(2 * SECOND));
        assert_eq!(write.ask(SECOND), Verdict::Wait(9 * SECOND));
        late[1].fail_with(SECOND, asked(11 * SECOND));
        assert_eq!(write.ask(SECOND), Verdict::Wait(11 * SECOND));
        assert_eq!(write.ask(12 * SECOND), Verdict::Probe);
        write.fail_with(12 * SECOND, asked(30 * SECOND));
        assert_eq!(write.ask(12 * SECOND), Verdict::Wait(30 * SECOND));
    }
}
