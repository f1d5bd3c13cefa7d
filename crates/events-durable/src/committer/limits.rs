//! What goes to make room: events that nobody needs, those that are too old, and those beyond the
//! bounds.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use events_core::{Event, Overflow};
use rusqlite::Transaction;

use super::Committer;
use crate::{
    commit_queue::{Write, count},
    consumer_rows,
    consumer_state::ConsumerState,
    store::{self, Store},
    stored::millis,
};

/// How many events a commit deletes at most, since writers wait for that: where none comes, and
/// beside so many new ones where some do. Those that are left are deleted when there is time.
const SWEEP: u64 = 2_048;
const SWEEP_BESIDE_WRITES: u64 = 32;
/// So long after a write, another one is expected.
const EXPECTED: Duration = Duration::from_millis(100);

impl<E: Event> Committer<E> {
    /// How many events the next commit deletes at most.
    pub(super) fn sweep(&self, writes: &[Write<E>]) -> u64 {
        let expects_writes = self.written.is_some_and(|written| written.elapsed() < EXPECTED);
        if expects_writes && !self.log.commits.lock().is_full() {
            return SWEEP_BESIDE_WRITES + 2 * count(writes);
        }
        SWEEP
    }

    /// Up to where events may be deleted.
    pub(super) fn needless(
        &self,
        transaction: &Transaction<'_>,
        before: u64,
        head: u64,
        cut: Option<u64>,
    ) -> rusqlite::Result<u64> {
        let mut trimmed = cut.unwrap_or(u64::MAX);
        if self.log.retention.until_settled {
            trimmed = trimmed.min(consumer_rows::lowest_position(transaction)?.unwrap_or(before));
        }
        Ok(trimmed.clamp(before, head))
    }

    /// Up to where events are too old, or too many, to be kept, where that is a matter of age or
    /// size. Consumers that are further behind miss them.
    pub(super) fn overtake(
        &self,
        store: &Store,
        changed: &mut Vec<Arc<ConsumerState<E>>>,
    ) -> Option<u64> {
        let retention = self.log.retention;
        if retention.age.is_none() && retention.size.is_none() {
            return None;
        }
        let oldest = retention.age.map(|age| millis(SystemTime::now() - age));
        let cut = consumer_rows::retention_cut(store, oldest, retention.size);
        let cut = cut.unwrap_or_else(|error| {
            // Nothing is deleted now; the next commit tries again.
            self.failed("look for events that are too old", error);
            store.trimmed
        });
        if retention.until_settled || cut <= store.trimmed {
            return Some(cut);
        }
        for consumer in self.log.commits.lock().consumers().to_vec() {
            let mut locked = consumer.lock();
            if locked.position() >= cut {
                continue;
            }
            locked.drop_before(cut);
            let next = locked.next_load();
            if next < cut {
                let missed = store::count_in(&store.connection, &(next..cut));
                locked.drop_unloaded(missed.unwrap_or(cut - next), cut);
            }
            // What the sink has is kept until it is settled.
            locked.give_rows();
            if locked.queue() {
                changed.push(Arc::clone(&consumer));
            }
        }
        Some(cut)
    }

    /// Drops the oldest events of each consumer that has too many left for what is to be written.
    pub(super) fn drop_oldest(
        &self,
        store: &Store,
        writes: &[Write<E>],
        changed: &mut Vec<Arc<ConsumerState<E>>>,
    ) {
        let bounds = self.log.commits.bounds;
        if bounds.overflow != Overflow::DropOldest || writes.is_empty() {
            return;
        }
        let (consumers, used) = {
            let state = self.log.commits.lock();
            (state.consumers().to_vec(), state.used_after_writes())
        };
        for consumer in consumers {
            let pending = consumer.lock().pending();
            let mut over = (pending + count(writes)).saturating_sub(bounds.capacity);
            if over == 0 && used > bounds.max_size {
                let share = u128::from(used - bounds.max_size) * u128::from(pending);
                over = (share / u128::from(used)) as u64 + 1;
            }
            if over == 0 {
                continue;
            }
            let dropped = drop_oldest_of(store, &consumer, over);
            if consumer.lock().queue() {
                changed.push(Arc::clone(&consumer));
            }
            let name = &*consumer.name;
            self.log.dropped.tell(dropped, |count| {
                let what = "dropped the oldest events: the log is full";
                tracing::warn!(consumer = name, count, "{what}");
            });
        }
    }
}

/// Drops up to `over` events that the sink does not have: how many.
fn drop_oldest_of<E>(store: &Store, consumer: &ConsumerState<E>, over: u64) -> u64 {
    let mut locked = consumer.lock();
    let mut dropped = locked.drop_waiting(over);
    let next = locked.next_load();
    if dropped < over {
        let rest = over - dropped;
        let cut = store::nth_after(&store.connection, next, rest);
        let cut = cut.map(|cut| cut.unwrap_or(store.next_seq));
        let found =
            cut.and_then(|cut| Ok((cut, store::count_in(&store.connection, &(next..cut))?)));
        if let Ok((cut, count)) = found {
            locked.drop_unloaded(count, cut);
            dropped += count;
        }
    }
    // So that no later run finds what was dropped behind what the sink has.
    locked.give_rows();
    dropped
}
