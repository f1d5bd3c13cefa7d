//! The committer's side: what it is to do, and what it has done.

use std::{sync::Arc, time::Instant};

use events_core::{SinkError, engine::WakeList};

use super::{
    Command, Desk, Work, Write,
    state::{LINGER, PAUSE},
};
use crate::{event_id::EventId, row::Row};

/// What a transaction has changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committed {
    /// The place of the first event that was written.
    pub(crate) first: u64,
    /// When they were written, in milliseconds since the epoch.
    pub(crate) written: u64,
    /// All before is loaded, or dropped.
    pub(crate) next_load: u64,
    /// How many events that were not loaded were dropped.
    pub(crate) dropped: u64,
    pub(crate) used: u64,
}

impl Desk {
    /// What to do next, as soon as there is something. Until `until`, writes wait until there are
    /// `group` of them: those whom the last commit has woken are on their way with the next.
    pub(crate) fn next_work(&self, group: usize, until: Instant) -> Work {
        let mut state = self.lock();
        loop {
            state.admit(&self.policy);
            let now = Instant::now();
            let gathering = now < until && state.closed.is_none();
            state.worth = if gathering { group } else { 1 };
            if let Some(work) = state.work(now) {
                return work;
            }
            let done = state.ledger.done.since.map(|since| since + LINGER);
            match gathering.then_some(until).into_iter().chain(done).min() {
                Some(alarm) => drop(self.work.wait_until(&mut state, alarm)),
                None => self.work.wait(&mut state),
            }
        }
    }

    /// These events and settlements are on the disk. Returns the events that can be delivered
    /// without being read back.
    pub(crate) fn committed(&self, work: &Work, change: Committed, file: u64) -> Vec<Row> {
        let count = work.writes.len() as u64;
        let mut rows = Vec::new();
        let mut state = self.lock();
        state.release(count, work.writes.iter().map(Write::cost).sum());
        state.used = change.used;
        let ledger = &mut state.ledger;
        ledger.accepted += count;
        ledger.overflow += change.dropped;
        ledger.pending = (ledger.pending + count).saturating_sub(change.dropped);
        ledger.next_seq = change.first + count;
        ledger.next_load = ledger.next_load.max(change.next_load);
        for (seq, write) in (change.first..).zip(&work.writes) {
            if ledger.may_load(seq) {
                let id = EventId::new(file, seq);
                let text = Arc::from(Arc::clone(&write.text));
                let row = Row { seq, id, written: change.written, text };
                ledger.load(&row);
                rows.push(row);
            }
        }
        let flushed = state.take_flushed(work.settled);
        drop(state);
        for (seq, write) in (change.first..).zip(&work.writes) {
            write.slot.tell(Ok(seq));
        }
        for slot in flushed {
            slot.tell(Ok(0));
        }
        rows
    }

    /// These events are not on the disk, and what was settled is still there.
    pub(crate) fn not_committed(&self, work: &mut Work, error: &SinkError) {
        let mut state = self.lock();
        state.release(work.writes.len() as u64, work.writes.iter().map(Write::cost).sum());
        let mut done = std::mem::take(&mut work.done);
        done.since = (!done.is_empty()).then(|| Instant::now() + PAUSE);
        done.extend(std::mem::take(&mut state.ledger.done));
        state.ledger.done = done;
        drop(state);
        for write in &work.writes {
            write.slot.tell(Err(error.clone()));
        }
    }

    /// There was nothing to change on the disk for what is settled.
    pub(crate) fn nothing_to_commit(&self, settled: u64) {
        let flushed = self.lock().take_flushed(settled);
        for slot in flushed {
            slot.tell(Ok(0));
        }
    }

    /// So many dead letters were put back, behind all that waits.
    pub(crate) fn replayed(&self, count: u64) {
        let mut state = self.lock();
        state.ledger.accepted += count;
        state.ledger.pending += count;
        state.ledger.next_seq += count;
    }

    /// Whether a worker that lingers for a batch should take what is there: somebody waits for it,
    /// or there is no room in memory for more.
    pub(crate) fn hurries(&self) -> bool {
        let state = self.lock();
        !state.flushes.is_empty() || state.ledger.is_heavy()
    }

    /// How many events stay on the disk for the next run, and what is wrong with the file.
    pub(crate) fn kept(&self) -> (u64, Option<SinkError>) {
        let state = self.lock();
        (state.ledger.pending, state.broken.clone())
    }

    /// The last: all is on the disk and the file is closed.
    pub(crate) fn finish(&self, outcome: &Result<(), SinkError>) {
        let mut state = self.lock();
        if state.finished.is_some() {
            return;
        }
        state.closed.get_or_insert_with(SinkError::closed);
        state.finished = Some(outcome.clone());
        let commands = std::mem::take(&mut state.commands);
        let flushes = std::mem::take(&mut state.flushes);
        let writes = std::mem::take(&mut state.writes);
        let closers: WakeList = state.closers.take();
        drop(state);
        for write in writes {
            write.slot.tell(Err(SinkError::closed()));
        }
        for Command::Replay(_, slot) | Command::Purge(_, slot) in commands {
            slot.tell(Err(SinkError::closed()));
        }
        for (_, slot) in flushes {
            slot.tell(outcome.clone().map(|()| 0));
        }
        closers.wake();
    }
}
