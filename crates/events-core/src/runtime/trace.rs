//! Telling operators through `tracing`, in a way that a subscriber can do with what it likes.
//!
//! A subscriber is a stranger's code: it may write to the very queue that tells, and panic. So it is
//! never called under a lock, not again from inside itself, and rarely however often something
//! happens.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;

use crate::runtime::{
    calls::{self, Telling},
    catch::catch,
    clock,
};

/// What keeps happening is told at least this often.
const INTERVAL: Duration = Duration::from_secs(10);

/// Has `trace` tell something, unless this comes from inside another trace of the family: a
/// subscriber that calls back would go round without end.
///
/// A panic of the subscriber ends here: it has nothing to do with the event that was in hand.
///
/// Call it without holding a lock.
///
/// ```
/// use events_core::engine::tell;
///
/// tell(|| tracing::info!("the breaker closes"));
/// ```
pub fn tell(trace: impl FnOnce()) {
    if let Some(_telling) = Telling::enter() {
        // Whoever panics is told of by the panic hook.
        let _panicked = catch(trace);
    }
}

/// Tells rarely of what may happen with every event: the first time at once, then whenever as many
/// more have come as were told of since it began, and at least every ten seconds while it goes on.
///
/// So 50,000 drops in a row are 17 traces, and one drop a minute is one trace a minute. After a
/// silence of ten seconds it begins anew. Every trace says how many there were since the last one;
/// what an account holds is exact.
///
/// ```
/// use std::time::{Duration, Instant};
/// use events_core::engine::TraceLimit;
///
/// let (limit, now) = (TraceLimit::new(), Instant::now());
/// let told: Vec<_> = (0..100).filter_map(|_| limit.count_at(1, now)).collect();
/// assert_eq!(told, [1, 1, 2, 4, 8, 16, 32]);
/// assert_eq!(limit.count_at(1, now + Duration::from_secs(10)), Some(37));
/// ```
#[derive(Debug, Default)]
pub struct TraceLimit {
    /// How many have been counted and not told.
    untold: AtomicU64,
    /// How many were told of since the run began. Written under the lock.
    told: AtomicU64,
    /// When they were told last. A real lock in models too: it is never held while threads meet.
    last: Mutex<Option<Instant>>,
}

impl TraceLimit {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self { untold: AtomicU64::new(0), told: AtomicU64::new(0), last: Mutex::new(None) }
    }

    /// Counts `count` more. If they are to be told, `trace` is given how many there were since the
    /// last time, as [`tell`] does. Call it without holding a lock.
    ///
    /// In a program without a subscriber it counts and reads no clock.
    pub fn tell(&self, count: u64, trace: impl FnOnce(u64)) {
        if calls::is_telling() {
            // Whoever comes next outside of that trace tells of these too.
            self.untold.fetch_add(count, Ordering::Relaxed);
            return;
        }
        // To read the clock takes longer than all the rest of a write that drops its event.
        let now = (LevelFilter::current() != LevelFilter::OFF).then(clock::now);
        if let Some(count) = self.count(count, now) {
            tell(|| trace(count));
        }
    }

    /// Counts `count` more at `now`. If they are to be told: how many there were since the last
    /// time.
    pub fn count_at(&self, count: u64, now: Instant) -> Option<u64> {
        self.count(count, Some(now))
    }

    /// Without a time, nothing is too long ago to be told again. Most calls then count, and no more.
    fn count(&self, count: u64, now: Option<Instant>) -> Option<u64> {
        let untold = self.untold.fetch_add(count, Ordering::Relaxed) + count;
        let told = self.told.load(Ordering::Relaxed);
        if untold < told && now.is_none() {
            return None;
        }
        let mut last = self.last.lock();
        let is_over =
            |now: Instant| last.is_none_or(|last| now.saturating_duration_since(last) >= INTERVAL);
        let told = self.told.load(Ordering::Relaxed);
        let is_new = told == 0 || now.is_some_and(is_over);
        if !is_new && self.untold.load(Ordering::Relaxed) < told {
            return None;
        }
        // None are left if another thread has just told of them.
        let untold = self.untold.swap(0, Ordering::Relaxed);
        if untold == 0 {
            return None;
        }
        self.told.store(if is_new { untold } else { told + untold }, Ordering::Relaxed);
        *last = now;
        Some(untold)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_told_every_ten_seconds() {
        let (limit, start) = (TraceLimit::new(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        assert_eq!(limit.count_at(1_000, at(0)), Some(1_000));
        let told: Vec<_> = (1..=30).filter_map(|second| limit.count_at(50, at(second))).collect();
        assert_eq!(told, [500; 3]);
    }

    #[test]
    fn what_several_threads_count_is_told_once() {
        let limit = TraceLimit::new();
        let told = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let count = limit.count_at(1, Instant::now()).unwrap_or(0);
                        told.fetch_add(count, Ordering::Relaxed);
                    }
                });
            }
        });
        let untold = limit.untold.load(Ordering::Relaxed);
        assert_eq!(told.load(Ordering::Relaxed) + untold, 40_000);
        assert!(untold <= 20_000, "{untold} of them are untold");
    }

    #[test]
    fn after_a_silence_the_first_is_told_at_once() {
        let (limit, start) = (TraceLimit::new(), Instant::now());
        assert_eq!(limit.count_at(1 << 40, start), Some(1 << 40));
        assert_eq!(limit.count_at(1, start), None);
        let later = start + INTERVAL;
        assert_eq!([1; 3].map(|count| limit.count_at(count, later)), [Some(2), None, Some(2)]);
    }

    #[test]
    fn without_a_clock_it_is_told_when_as_many_more_have_come() {
        let limit = TraceLimit::new();
        let told: Vec<_> = (0..10).filter_map(|_| limit.count(1, None)).collect();
        assert_eq!(told, [1, 1, 2, 4]);
        assert_eq!(limit.count_at(1, Instant::now()), Some(3), "now there is a clock");
    }

    #[test]
    fn what_happens_inside_a_trace_is_told_by_the_next() {
        let limit = TraceLimit::new();
        let mut told = Vec::new();
        limit.tell(1, |count| {
            told.push(count);
            limit.tell(5, |_| panic!("told from inside a trace"));
            for _ in 0..2 {
                tell(|| panic!("told from inside a trace"));
            }
            assert!(calls::is_telling());
        });
        assert!(!calls::is_telling());
        limit.tell(1, |count| told.push(count));
        assert_eq!(told, [1, 6]);
    }

    #[test]
    fn a_subscriber_that_panics_harms_nobody_and_is_asked_again() {
        let mut told = 0;
        tell(|| panic!("the disk of logs is full"));
        tell(|| told += 1);
        assert_eq!(told, 1);
    }
}
