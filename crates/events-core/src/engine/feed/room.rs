use std::fmt;

use super::log::{Aftermath, Log};
use crate::{engine::cursor::Cursor, runtime::sync::Arc};

/// Tells how many bytes an event has.
pub type SizeOf<E> = Arc<dyn Fn(&E) -> u64 + Send + Sync>;

/// A bound in bytes.
///
/// One event is always let in, or one that is larger than the limit would never be.
pub struct Weigher<E> {
    /// How many bytes of events may be written and not settled.
    pub limit: u64,
    /// How many bytes one has. It is called by the writer, outside of every lock.
    pub size: SizeOf<E>,
    /// Whether the oldest are dropped for the newest, instead of having the newest refused.
    pub drops_oldest: bool,
    /// Whether events are settled in the order in which they were written; otherwise each is reported.
    pub in_order: bool,
}

/// What bounds the log for its writers.
pub(super) struct Room<E> {
    capacity: u64,
    /// How far the feed's one reader has come.
    cursor: Arc<Cursor>,
    weigher: Option<Weigher<E>>,
}

impl<E> Room<E> {
    pub(super) const fn new(
        capacity: u64,
        cursor: Arc<Cursor>,
        weigher: Option<Weigher<E>>,
    ) -> Self {
        Self { capacity, cursor, weigher }
    }

    pub(super) const fn cursor(&self) -> &Arc<Cursor> {
        &self.cursor
    }

    pub(super) const fn is_weighed(&self) -> bool {
        self.weigher.is_some()
    }

    pub(super) fn weigh(&self, event: &E) -> u64 {
        self.weigher.as_ref().map_or(0, |weigher| (weigher.size)(event))
    }

    /// Whether there is room for one event more, of so many bytes.
    pub(super) fn is_in(&self, log: &mut Log<E>, bytes: u64) -> bool {
        let Some(weigher) = &self.weigher else {
            return log.head() - self.cursor.published() < self.capacity;
        };
        if weigher.drops_oldest {
            return true;
        }
        if weigher.in_order {
            log.weights.settle_before(self.cursor.published());
        }
        let total = log.weights.total();
        let fits = total == 0 || total.saturating_add(bytes) <= weigher.limit;
        fits && log.head() - self.cursor.published() < self.capacity
    }

    /// Takes one event in, for which there is room, if need be by giving up the oldest.
    pub(super) fn append(&self, log: &mut Log<E>, event: E, bytes: u64) -> Option<Aftermath<E>> {
        let Some(weigher) = &self.weigher else { return log.append(event) };
        let number = log.head();
        if weigher.in_order {
            log.weights.settle_before(self.cursor.published());
        }
        log.weights.push(number, bytes);
        if weigher.drops_oldest {
            log.weights.drop_beyond(weigher.limit);
            // Before the event can be seen, so that whoever is woken for it knows.
            self.cursor.drop_before(log.weights.floor());
        }
        let aftermath = log.append(event);
        // A chunk is let go of as a whole, so a large one would keep much that is settled.
        let open = log.open_len();
        let is_large = log.weights.add_open(open, bytes, weigher.limit);
        if is_large { Some(log.cut(aftermath)) } else { aftermath }
    }
}

impl<E> fmt::Debug for Weigher<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weigher").field("limit", &self.limit).finish_non_exhaustive()
    }
}
