//! The one state machine under [`Breaker`](crate::Breaker) and
//! [`ExponentialBackoff`](crate::ExponentialBackoff).
//!
//! Closed, every write goes. After failures it opens for a time that its [`Pace`] tells; then it is
//! half-open: one write goes as a probe, all others wait for its answer. A probe that succeeds
//! closes it, one that fails opens it again.
//!
//! While it is open only the probe's answer counts. Attempts that had begun before say how the
//! destination was then: a hundred of them that fail together are one failure, not a hundred, and
//! one of them that still succeeds is no reason to let the others go.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    error::SinkError,
    runtime::sync::{AtomicBool, Mutex, Ordering},
    strategy::{progress::Progress, verdict::Verdict},
};

/// How long to stay open. Called under the circuit's lock.
pub(crate) trait Pace {
    /// The time to stay open after so many failures in a row; `None` to stay closed. What was open
    /// opens `again`: it does not close because its probe failed.
    fn pause(&mut self, failures: u32, again: bool) -> Option<Duration>;

    /// The destination is well again.
    fn reset(&mut self) {}
}

pub(crate) struct Circuit<P> {
    /// False while there is nothing to know: closed, and the last answer was no failure. Written
    /// under the lock; all that a healthy write looks at.
    troubled: AtomicBool,
    retry_after_limit: Duration,
    state: Mutex<State<P>>,
}

#[derive(Debug)]
struct State<P> {
    pace: P,
    /// In a row.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    until: Instant,
    /// How long that was from when it opened.
    pause: Duration,
    /// A probe is under way.
    probing: bool,
}

/// The circuit has just opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) failures: u32,
    pub(crate) pause: Duration,
    /// It was open before: a probe has failed.
    pub(crate) again: bool,
}

/// Without what lies under the lock, while which nobody's formatter is called.
impl<P> fmt::Debug for Circuit<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circuit")
            .field("troubled", &self.troubled)
            .field("retry_after_limit", &self.retry_after_limit)
            .finish_non_exhaustive()
    }
}

impl<P: Pace> Circuit<P> {
    pub(crate) fn new(pace: P, retry_after_limit: Duration) -> Self {
        Self {
            troubled: AtomicBool::new(false),
            retry_after_limit,
            state: Mutex::new(State { pace, failures: 0, open: None }),
        }
    }

    #[inline]
    pub(crate) fn proceed(&self, progress: &Progress) -> Verdict {
        if self.troubled.load(Ordering::Acquire) {
            self.proceed_troubled(progress)
        } else {
            Verdict::Go
        }
    }

    #[cold]
    fn proceed_troubled(&self, progress: &Progress) -> Verdict {
        let mut state = self.state.lock();
        let Some(open) = &mut state.open else { return Verdict::Go };
        if open.probing {
            // The answer to the probe wakes those who wait behind the same sink. Others, that only
            // share the strategy, have to look again.
            return Verdict::Wait(open.pause);
        }
        let rest = open.until.saturating_duration_since(progress.now());
        if !rest.is_zero() {
            return Verdict::Wait(rest);
        }
        open.probing = true;
        Verdict::Probe
    }

    /// True if this has closed the circuit.
    #[inline]
    pub(crate) fn success(&self, progress: &Progress) -> bool {
        self.troubled.load(Ordering::Acquire) && self.recover(progress)
    }

    #[cold]
    fn recover(&self, progress: &Progress) -> bool {
        let mut state = self.state.lock();
        let was_open = state.open.is_some();
        if was_open && !progress.is_probe() {
            return false;
        }
        state.open = None;
        state.failures = 0;
        state.pace.reset();
        self.troubled.store(false, Ordering::Release);
        was_open
    }

    /// What this has opened, if it has.
    pub(crate) fn failure(&self, progress: &Progress) -> Option<Opened> {
        let asked = progress
            .last_error()
            .and_then(SinkError::retry_after)
            .map(|asked| asked.min(self.retry_after_limit))
            .filter(|asked| !asked.is_zero());
        let now = progress.now();
        let mut state = self.state.lock();
        let again = state.open.is_some();
        if let Some(open) = &mut state.open
            && !progress.is_probe()
        {
            open.until = asked.map_or(open.until, |asked| open.until.max(now + asked));
            return None;
        }
        self.troubled.store(true, Ordering::Release);
        state.failures = state.failures.saturating_add(1);
        let failures = state.failures;
        let pause = state.pace.pause(failures, again).max(asked)?;
        state.open = Some(Open { until: now + pause, pause, probing: false });
        Some(Opened { failures, pause, again })
    }

    /// Whether it is open, or waits for its probe.
    pub(crate) fn is_open(&self) -> bool {
        self.troubled.load(Ordering::Acquire) && self.state.lock().open.is_some()
    }

    pub(crate) fn release(&self, progress: &Progress) {
        if !progress.is_probe() {
            return;
        }
        if let Some(open) = &mut self.state.lock().open {
            open.probing = false;
        }
    }
}
