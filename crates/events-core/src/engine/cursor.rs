use crate::{
    engine::position::Position,
    runtime::sync::{AtomicU64, Ordering},
};

/// How far a worker has come in one account, how far it may go, and whether somebody wants its
/// attention: all that is looked at for each event, side by side.
///
/// ```
/// use events_core::engine::Cursor;
///
/// let cursor = Cursor::new(0, None);
/// cursor.settle(2);
/// assert!(!cursor.publish(), "nobody wants attention");
/// assert_eq!(cursor.notify(), 2);
/// cursor.settle(1);
/// assert!(cursor.publish());
/// ```
#[derive(Debug)]
pub struct Cursor {
    published: Position,
    /// Only the worker writes it, after each event.
    reached: AtomicU64,
    /// Where the account ends: only what lies before is to be delivered.
    stop: AtomicU64,
    /// How far it has to come before it is to look after those who wait for that.
    notify_at: AtomicU64,
    bound: Option<u64>,
    /// What lies before was dropped for newer events, where not their number is bounded.
    floor: AtomicU64,
}

impl Cursor {
    /// A cursor with all before sequence number `at` settled. With a `bound`, it is not to lag
    /// further behind the head than that.
    pub fn new(at: u64, bound: Option<u64>) -> Self {
        Self {
            published: Position::new(at),
            reached: AtomicU64::new(at),
            stop: AtomicU64::new(u64::MAX),
            notify_at: AtomicU64::new(u64::MAX),
            bound,
            floor: AtomicU64::new(0),
        }
    }

    /// How many events are settled.
    #[inline]
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Acquire)
    }

    /// Settles `count` more. Only the worker does.
    #[inline]
    pub fn settle(&self, count: u64) {
        self.settle_to(self.reached.load(Ordering::Relaxed) + count);
    }

    /// Settles all before sequence number `at`. Only the worker does, and knows where it stands.
    #[inline]
    pub fn settle_to(&self, at: u64) {
        self.reached.store(at, Ordering::Release);
    }

    /// Settles `count` more, in whatever order several deliverers do, and publishes that. True if
    /// somebody wants attention. Only who has the backlog's lock does.
    pub(crate) fn settle_shared(&self, count: u64) -> bool {
        let reached = self.reached.load(Ordering::Relaxed) + count;
        self.reached.store(reached, Ordering::Release);
        self.published.advance(count) || reached >= self.notify_at.load(Ordering::Relaxed)
    }

    /// How many events are settled, as far as is published.
    #[inline]
    pub fn published(&self) -> u64 {
        self.published.settled()
    }

    /// Publishes how many events are settled. True if somebody wants attention.
    #[inline]
    pub fn publish(&self) -> bool {
        let reached = self.reached();
        let notified = match reached.saturating_sub(self.published()) {
            0 => self.published.is_notified(),
            count => self.published.advance(count),
        };
        notified || reached >= self.notify_at.load(Ordering::Relaxed)
    }

    /// Has itself looked after once it has come to `at`, and not before for that. Only the worker
    /// does, when it looks after those who wait.
    pub fn notify_at(&self, at: u64) {
        self.notify_at.store(at, Ordering::Relaxed);
    }

    /// Asks for attention, and says how many settled events had been published then.
    pub fn notify(&self) -> u64 {
        self.published.notify()
    }

    /// Takes the wish for attention back.
    pub fn clear_notified(&self) {
        self.published.clear_notified();
    }

    /// Whether somebody wants attention.
    #[inline]
    pub fn is_notified(&self) -> bool {
        self.is_notified_at(self.reached())
    }

    /// The same, asked by the worker, who knows that it stands at `at`.
    #[inline]
    pub fn is_notified_at(&self, at: u64) -> bool {
        self.published.is_notified() || at >= self.notify_at.load(Ordering::Relaxed)
    }

    /// Where the account ends.
    #[inline]
    pub fn stop(&self) -> u64 {
        self.stop.load(Ordering::Acquire)
    }

    /// The account ends at `end`, unless it does before.
    pub fn stop_at(&self, end: u64) {
        self.stop.fetch_min(end, Ordering::AcqRel);
    }

    /// Only what lies at or after `floor` is to be delivered. It needs a [`bound`](Self::bound), or nobody
    /// looks.
    pub fn drop_before(&self, floor: u64) {
        self.floor.store(floor, Ordering::Release);
    }

    /// What lies before is to be dropped.
    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    /// How far it may lag behind the head; `None` is without end.
    #[inline]
    pub const fn bound(&self) -> Option<u64> {
        self.bound
    }

    /// How many events it has to skip to be within its bound of `head` again, and to come to `first`,
    /// before which the log has let go of all. None beyond where its account ends, though both may
    /// lie far beyond that.
    #[inline]
    pub fn lag(&self, head: u64, first: u64) -> u64 {
        let (at, stop) = (self.reached(), self.stop());
        self.lag_at(at, head).max(first.min(stop).saturating_sub(at))
    }

    /// How many it would have to skip to be within its bound of `head` if it stood at `at`.
    #[inline]
    pub(crate) fn lag_at(&self, at: u64, head: u64) -> u64 {
        let end = head.min(self.stop());
        self.bound.map_or(0, |bound| {
            let beyond = end.saturating_sub(at).saturating_sub(bound);
            beyond.max(self.floor().min(end).saturating_sub(at))
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_after_the_end_of_an_account_is_none_of_its_lag() {
        let cursor = Cursor::new(10, Some(5));
        assert_eq!([cursor.lag(14, 0), cursor.lag(100, 10), cursor.lag(100, 98)], [0, 85, 88]);
        cursor.stop_at(17);
        assert_eq!(cursor.lag(100, 10), 2, "the last five of its own are within the bound");
        assert_eq!(cursor.lag(100, 98), 7, "the log has none of its own any more");
        cursor.settle_to(17);
        assert_eq!(cursor.lag(100, 98), 0);
    }
}
