//! Where writers, the worker and the committer meet: one lock, held for moments.

mod committing;
mod state;

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use events_core::{ErrorKind, Overflow, SinkError, Stats, engine::clock};
use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) use committing::Committed;
use state::MANY;
pub(crate) use state::{Command, State, Work, Write};

use crate::{ledger::Ledger, reply::Slot, row::Row, waiting::Waiting};

/// What is shared by all who have to do with the queue.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) policy: Policy,
    state: Mutex<State>,
    /// Where the committer sleeps.
    work: Condvar,
}

/// What bounds the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// In events.
    pub(crate) capacity: u64,
    /// In bytes on the disk.
    pub(crate) max_size: u64,
    pub(crate) overflow: Overflow,
}

impl Desk {
    pub(crate) fn new(policy: Policy, ledger: Ledger, used: u64) -> Self {
        Self { policy, state: Mutex::new(State::new(ledger, used)), work: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().ledger.stats()
    }

    /// Hands an event in, to wait for its commit, or for room first. `None` if the policy has
    /// dropped it.
    pub(crate) fn offer(&self, text: Arc<str>) -> Result<Option<Waiting<'_>>, SinkError> {
        let write = Write { text, slot: Arc::default() };
        let mut state = self.lock();
        state.check_open()?;
        if write.cost() > self.policy.max_size {
            return Err(SinkError::rejected("the event is larger than the queue may be"));
        }
        let slot = Arc::clone(&write.slot);
        if state.line.is_empty() && state.has_room(&self.policy, &write) {
            state.enqueue(write);
            let wake = state.writes.len() >= state.worth;
            drop(state);
            if wake {
                self.work.notify_one();
            }
            return Ok(Some(Waiting::new(self, slot, false)));
        }
        match self.policy.overflow {
            Overflow::DropNewest => {
                state.ledger.accepted += 1;
                state.ledger.overflow += 1;
                Ok(None)
            }
            Overflow::Block | Overflow::BlockFor(_) => {
                state.line.push_back(write);
                drop(state);
                // What is settled may make room once it is off the disk.
                self.work.notify_one();
                Ok(Some(Waiting::new(self, slot, true)))
            }
            _ => Err(SinkError::full()),
        }
    }

    /// Takes an event back that is in line. False if it is there no more.
    pub(crate) fn leave_line(&self, slot: &Arc<Slot>) -> bool {
        let mut state = self.lock();
        let place = state.line.iter().position(|write| Arc::ptr_eq(&write.slot, slot));
        let left = place.and_then(|place| state.line.remove(place));
        drop(state);
        left.is_some()
    }

    /// Takes an event back whose commit has not begun.
    pub(crate) fn withdraw(&self, slot: &Arc<Slot>) {
        if self.leave_line(slot) {
            return;
        }
        let mut state = self.lock();
        let place = state.writes.iter().position(|write| Arc::ptr_eq(&write.slot, slot));
        let left = place.map(|place| state.writes.remove(place));
        if let Some(write) = &left {
            state.release(1, write.cost());
        }
    }

    /// Asks for something that is neither a write nor a close.
    pub(crate) fn command(&self, command: impl FnOnce(Arc<Slot>) -> Command) -> Arc<Slot> {
        let slot = Arc::<Slot>::default();
        let mut state = self.lock();
        match state.check_open() {
            Ok(()) => state.commands.push(command(Arc::clone(&slot))),
            Err(closed) => slot.tell(Err(closed)),
        }
        drop(state);
        self.work.notify_one();
        slot
    }

    /// Asks to be told when all that is accepted so far is settled and off the disk.
    pub(crate) fn flush(&self) -> Arc<Slot> {
        let slot = Arc::<Slot>::default();
        let mut state = self.lock();
        if let Some(finished) = &state.finished {
            slot.tell(finished.clone().map(|()| 0));
        } else {
            let target = state.ledger.next_seq;
            state.flushes.push((target, Arc::clone(&slot)));
        }
        drop(state);
        self.work.notify_one();
        slot
    }

    /// Takes no more events.
    pub(crate) fn close(&self) {
        self.shut(None, |_| {});
    }

    /// Takes no more events, and keeps those that are not delivered.
    pub(crate) fn abort(&self) {
        self.shut(None, |state| {
            state.aborted = true;
            state.stopped = true;
        });
    }

    /// The file cannot be read or written any more.
    pub(crate) fn give_up(&self, error: SinkError) {
        self.shut(Some(error.clone()), |state| {
            state.stopped = true;
            state.broken = Some(error);
        });
    }

    /// The worker will deliver nothing more.
    pub(crate) fn worker_ended(&self, result: &Result<(), SinkError>) {
        self.shut(None, |state| state.ended = Some(result.clone()));
    }

    fn shut(&self, why: Option<SinkError>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| why.unwrap_or_else(SinkError::closed));
        change(&mut state);
        let line = std::mem::take(&mut state.line);
        let paused = if state.aborted { state.paused.take() } else { None };
        drop(state);
        self.work.notify_one();
        paused.into_iter().for_each(Waker::wake);
        for write in line {
            write.slot.tell(Err(SinkError::closed()));
        }
    }

    /// Whether an event with such an error stays on the disk for the next run: its delivery was cut
    /// short, or the destination is gone.
    pub(crate) fn keeps(&self, kind: ErrorKind) -> bool {
        match kind {
            // The sink's own are renamed, so this one means that nobody has tried.
            ErrorKind::Undelivered | ErrorKind::Closed => true,
            kind => kind.is_retryable() && self.lock().aborted,
        }
    }

    /// The sink is about to be given these rows, except for some at the front that were dropped
    /// meanwhile: how many. `None` after an abort: an event that comes after one that stays for
    /// the next run must stay as well, or they would change places.
    pub(crate) fn hand_out(&self, rows: &[Row]) -> Option<usize> {
        let mut state = self.lock();
        (!state.aborted).then(|| state.ledger.hand_out(rows))
    }

    /// Whether the delivery has been stopped.
    pub(crate) fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    /// The worker waits, for the time that its strategy says or until the delivery is stopped: true
    /// then.
    pub(crate) async fn pause(&self, limit: Duration) -> bool {
        let mut sleep = pin!(clock::sleep(limit));
        let aborted = poll_fn(|cx| {
            // Cloned and dropped outside the lock: a waker is somebody else's code.
            let waker = cx.waker().clone();
            let mut state = self.lock();
            if state.aborted {
                return Poll::Ready(true);
            }
            let before = state.paused.replace(waker);
            drop(state);
            drop(before);
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await;
        let waker = self.lock().paused.take();
        drop(waker);
        aborted
    }

    /// The worker has settled events, as `settle` notes in the ledger.
    pub(crate) fn settle(&self, settle: impl FnOnce(&mut Ledger)) {
        let mut state = self.lock();
        if state.finished.is_some() {
            // The late answer of a sink that was given up; the event is kept.
            return;
        }
        let idle = state.ledger.done.is_empty();
        let low = state.ledger.wanted().is_none();
        settle(&mut state.ledger);
        let wake = (idle && !state.ledger.done.is_empty())
            || (low && state.ledger.wanted().is_some())
            || state.ledger.done.count() >= MANY
            || !state.line.is_empty()
            || state.is_flushed();
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// How it all ended, once it has.
    pub(crate) async fn finished(&self) -> Result<(), SinkError> {
        let mut ticket = None;
        poll_fn(|cx| {
            // Declared before the lock, and so dropped after it.
            let waker = cx.waker().clone();
            let mut state = self.lock();
            if let Some(outcome) = &state.finished {
                return Poll::Ready(outcome.clone());
            }
            let replaced = state.closers.register(&mut ticket, waker);
            drop(state);
            drop(replaced);
            Poll::Pending
        })
        .await
    }
}
