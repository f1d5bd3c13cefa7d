use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use crate::{error::SinkError, runtime::clock, strategy::verdict::Verdict};

/// How far one write has come.
///
/// The time is read when a strategy asks for it and not before, since a write that succeeds at
/// once has no use for it; or it is passed in.
///
/// ```
/// use std::time::{Duration, Instant};
/// use events_core::{Progress, SinkError, Verdict};
///
/// let start = Instant::now();
/// let mut progress = Progress::at(start);
/// progress.begin(Verdict::Go);
/// progress.fail(SinkError::unavailable("timed out"));
/// progress.set_now(start + Duration::from_secs(3));
/// assert_eq!(progress.attempts(), 1);
/// assert_eq!(progress.elapsed(), Duration::from_secs(3));
/// ```
#[derive(Debug, Default)]
pub struct Progress {
    attempts: u32,
    probe: bool,
    last_error: Option<SinkError>,
    time: Cell<Time>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Time {
    now: Option<Instant>,
    /// Whether `now` was passed in.
    fixed: bool,
    start: Option<Instant>,
    failed: Option<Instant>,
}

impl Progress {
    /// A write that begins, by the [clock](crate::runtime::clock::now).
    pub const fn new() -> Self {
        Self::from_time(Time { now: None, fixed: false, start: None, failed: None })
    }

    /// A write that begins at `now`, where time stands until [`set_now`](Self::set_now).
    pub const fn at(now: Instant) -> Self {
        Self::from_time(Time { now: Some(now), fixed: true, start: Some(now), failed: None })
    }

    const fn from_time(time: Time) -> Self {
        Self { attempts: 0, probe: false, last_error: None, time: Cell::new(time) }
    }

    /// How many attempts have begun; in an answer, the one it is about included.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the attempt that this answers is the one for which the strategy said
    /// [`Probe`](Verdict::Probe).
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

    /// Why the last attempt failed.
    pub const fn last_error(&self) -> Option<&SinkError> {
        self.last_error.as_ref()
    }

    /// The time of this question or answer.
    pub fn now(&self) -> Instant {
        let mut time = self.time.get();
        if let Some(now) = time.now {
            return now;
        }
        let now = clock::now();
        time.now = Some(now);
        time.start = time.start.or(Some(now));
        self.time.set(time);
        now
    }

    /// How long this write has been under way.
    ///
    /// Counted from the first question for the time, so a strategy that limits it asks in its first
    /// `proceed` too.
    pub fn elapsed(&self) -> Duration {
        let now = self.now();
        self.time.get().start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start))
    }

    /// How long ago the last attempt failed.
    ///
    /// ```
    /// use events_core::{Progress, SinkError, Verdict};
    /// use std::time::{Duration, Instant};
    ///
    /// let start = Instant::now();
    /// let mut write = Progress::at(start);
    /// assert_eq!(write.since_failure(), None);
    /// write.begin(Verdict::Go);
    /// write.fail(SinkError::unavailable("timed out"));
    /// write.set_now(start + Duration::from_secs(2));
    /// assert_eq!(write.since_failure(), Some(Duration::from_secs(2)));
    /// ```
    pub fn since_failure(&self) -> Option<Duration> {
        let failed = self.time.get().failed?;
        Some(self.now().saturating_duration_since(failed))
    }
}

/// For those who drive a strategy.
impl Progress {
    /// An attempt begins, because the strategy said `verdict`.
    ///
    /// ```
    /// use events_core::{Progress, Verdict};
    ///
    /// let mut write = Progress::new();
    /// write.begin(Verdict::Probe);
    /// assert!(write.is_probe() && write.attempts() == 1);
    /// ```
    pub fn begin(&mut self, verdict: Verdict) {
        self.attempts = self.attempts.saturating_add(1);
        self.probe = verdict == Verdict::Probe;
    }

    /// The attempt has failed just now. Call it before [`failure`](crate::RetryStrategy::failure).
    ///
    /// ```
    /// use events_core::{ErrorKind, Progress, SinkError, Verdict};
    ///
    /// let mut write = Progress::new();
    /// write.begin(Verdict::Go);
    /// write.fail(SinkError::full());
    /// assert_eq!(write.last_error().unwrap().kind(), ErrorKind::Full);
    /// ```
    pub fn fail(&mut self, error: SinkError) {
        self.last_error = Some(error);
        self.refresh();
        let now = self.now();
        self.time.get_mut().failed = Some(now);
    }

    /// Time has passed: the next question reads the clock again, unless the time was passed in.
    pub fn refresh(&mut self) {
        let time = self.time.get_mut();
        if !time.fixed {
            time.now = None;
        }
    }

    /// It is `now`, and stays so: the clock is not read any more.
    ///
    /// ```
    /// use events_core::Progress;
    /// use std::time::{Duration, Instant};
    ///
    /// let start = Instant::now();
    /// let mut write = Progress::at(start);
    /// write.set_now(start + Duration::from_secs(1));
    /// assert_eq!(write.elapsed(), Duration::from_secs(1));
    /// ```
    pub fn set_now(&mut self, now: Instant) {
        let time = self.time.get_mut();
        time.now = Some(now);
        time.fixed = true;
        time.start = time.start.or(Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_what_is_passed_in_or_the_clock() {
        let start = Instant::now();
        let mut progress = Progress::at(start);
        progress.refresh();
        assert_eq!(progress.now(), start);
        progress.set_now(start + Duration::from_secs(2));
        progress.fail(SinkError::full());
        progress.set_now(start + Duration::from_secs(5));
        assert_eq!(progress.elapsed(), Duration::from_secs(5));
        assert_eq!(progress.since_failure(), Some(Duration::from_secs(3)));

        let progress = Progress::new();
        assert!(progress.now() >= start);
        assert_eq!(progress.now(), progress.now());
        assert_eq!(progress.elapsed(), Duration::ZERO);
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn under_tokio_the_paused_clock_counts() {
        let mut progress = Progress::new();
        assert_eq!(progress.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_hours(1)).await;
        progress.refresh();
        assert_eq!(progress.elapsed(), Duration::from_hours(1));
    }
}
