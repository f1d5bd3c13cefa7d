//! How what has changed comes to the disk.

use std::sync::Arc;

use events_core::{SinkError, engine::Mode};

use super::{Aftermath, Locked, changes::Changes};
use crate::completion::Promise;

/// What a consumer has the disk know.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Before this sequence number all is settled, or has a row.
    pub(crate) position: u64,
    /// Whether it was disabled.
    pub(crate) disabled: bool,
    pub(crate) changes: Arc<Changes>,
    /// How it ended, if it has: this is its last.
    pub(crate) ended: Option<Result<(), SinkError>>,
    /// Before this sequence number all is settled, but for events that are set aside, if there are
    /// any: the disk knows which.
    pub(crate) settled: u64,
    pub(crate) has_set_aside: bool,
}

impl Locked {
    /// It has changes, and is to be saved with the next commit: false if it is already.
    pub(crate) const fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// Hands out what has changed, to be written to the disk: [`saved`](Self::saved) says that it
    /// was, [`not_saved`](Self::not_saved) that it was not.
    pub(crate) fn begin_saving(&mut self) -> Snapshot {
        self.is_queued = false;
        self.is_end_saved = self.ended.is_some();
        if self.ended.is_some() {
            // What is settled is not to be delivered again, behind what is not.
            self.give_rows();
        }
        let snapshot = Snapshot {
            position: self.position(),
            disabled: self.mode == Mode::Disabled,
            changes: Arc::default(),
            ended: self.ended.clone(),
            settled: self.loaded_settled(),
            has_set_aside: self.set_aside > 0,
        };
        let changes = Arc::new(std::mem::take(&mut self.changes));
        self.saving = Some(Arc::clone(&changes));
        Snapshot { changes, ..snapshot }
    }

    /// It was written.
    pub(crate) fn saved(&mut self) -> Aftermath {
        let had_rows = self.saving.take().is_some_and(|changes| !changes.rows.is_empty());
        self.saves += 1;
        self.due_is_stale |= had_rows && self.set_aside > 0;
        self.aftermath(!had_rows)
    }

    /// It was not. Whether it is to be saved again, unless something new has had it queued already.
    pub(crate) fn not_saved(&mut self) -> bool {
        if let Some(unsaved) = self.saving.take() {
            self.changes.restore(Arc::unwrap_or_clone(unsaved));
        }
        self.queue()
    }

    /// So many dead letters, or events of the past, have rows again that are not settled.
    pub(crate) fn replayed(&mut self, count: u64) {
        self.accepted += count;
        self.set_aside += count;
        self.saves += 1;
        self.due_is_stale = true;
    }

    /// Tells `promise` once all that is accepted so far is settled, and the disk knows.
    pub(crate) fn flush(&mut self, promise: Arc<Promise>) -> Aftermath {
        self.flushes.push((self.head, promise));
        Aftermath { has_changes: self.queue(), is_urgent: true, is_hungry: self.is_hungry() }
    }

    /// Before this sequence number all is settled that is in memory or was never loaded.
    fn loaded_settled(&self) -> u64 {
        self.window.first().map_or(self.next_load, |first| first.seq.min(self.next_load))
    }

    /// Whether a flush waits only for the disk.
    pub(super) fn is_flushed(&self) -> bool {
        let settled = self.loaded_settled();
        self.set_aside == 0 && self.flushes.iter().any(|(target, _)| *target <= settled)
    }

    /// Those whose flush is over, if before `first_row` no event has a row.
    pub(crate) fn take_flushed(&mut self, settled: u64, first_row: u64) -> Vec<Arc<Promise>> {
        let settled = settled.min(first_row);
        let flushed = self.flushes.extract_if(.., |(target, _)| *target <= settled);
        flushed.map(|(_, promise)| promise).collect()
    }

    /// Those who wait for a flush, at the end.
    pub(crate) fn take_flushes(&mut self) -> Vec<Arc<Promise>> {
        self.flushes.drain(..).map(|(_, promise)| promise).collect()
    }
}
