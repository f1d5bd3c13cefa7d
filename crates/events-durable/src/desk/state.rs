//! What stands under the desk's lock, and when there is something to do.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use events_core::{Overflow, SinkError, engine::WakerSet};

use super::Policy;
use crate::{
    dead_letters::Which,
    ledger::{Done, Ledger},
    reply::Slot,
};

/// How long the news of a delivery waits for a write to ride with. A process that ends meanwhile
/// delivers these events again.
pub(super) const LINGER: Duration = Duration::from_millis(10);
/// How long they wait before they are tried again, when the disk has failed.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// So many deliveries wait for no more.
pub(super) const MANY: u64 = 4_096;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    /// To go into the next transaction, in this order.
    pub(super) writes: Vec<Write>,
    /// Waiting for room, first come, first served.
    pub(super) line: VecDeque<Write>,
    /// How many events are queued or being committed, and what they will take on the disk.
    pub(super) reserved: (u64, u64),
    /// How many bytes of the file are in use.
    pub(super) used: u64,
    pub(super) commands: Vec<Command>,
    /// Whom to tell once all before a place is settled, and no more on the disk.
    pub(super) flushes: Vec<(u64, Arc<Slot>)>,
    /// How many writes are worth waking the committer for.
    pub(super) worth: usize,
    /// Takes no more events, for this reason.
    pub(super) closed: Option<SinkError>,
    /// Loads no more: the file cannot be read, or the queue was aborted.
    pub(super) stopped: bool,
    /// What is wrong with the file.
    pub(super) broken: Option<SinkError>,
    pub(super) aborted: bool,
    feed_closed: bool,
    /// How the worker ended.
    pub(super) ended: Option<Result<(), SinkError>>,
    /// How it all ended, once the file is closed.
    pub(super) finished: Option<Result<(), SinkError>>,
    pub(super) closers: WakerSet,
    /// The worker, while it waits to try again.
    pub(super) paused: Option<Waker>,
}

/// An event to be committed.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) text: Arc<str>,
    pub(crate) slot: Arc<Slot>,
}

impl Write {
    /// What it takes on the disk, more or less.
    pub(super) fn cost(&self) -> u64 {
        let bytes = self.text.len() as u64;
        bytes + bytes / 16 + 64
    }
}

/// Something else that the committer is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Replay(Which, Arc<Slot>),
    Purge(Which, Arc<Slot>),
}

/// What the committer is to do next.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) writes: Vec<Write>,
    pub(crate) done: Done,
    /// All before is settled, and off the disk when this is done.
    pub(crate) settled: u64,
    pub(crate) commands: Vec<Command>,
    /// How many events, and bytes of them, to load.
    pub(crate) load: Option<(u64, u64)>,
    /// Everything is in the feed: it can be closed.
    pub(crate) close_feed: bool,
    /// The worker has ended: this is the last.
    pub(crate) end: Option<Result<(), SinkError>>,
}

impl State {
    pub(super) fn new(ledger: Ledger, used: u64) -> Self {
        Self {
            ledger,
            writes: Vec::new(),
            line: VecDeque::new(),
            reserved: (0, 0),
            used,
            commands: Vec::new(),
            flushes: Vec::new(),
            worth: 1,
            closed: None,
            stopped: false,
            broken: None,
            aborted: false,
            feed_closed: false,
            ended: None,
            finished: None,
            closers: WakerSet::new(),
            paused: None,
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), SinkError> {
        self.closed.clone().map_or(Ok(()), Err)
    }

    pub(super) fn has_room(&self, policy: &Policy, write: &Write) -> bool {
        let (events, bytes) = self.reserved;
        policy.overflow == Overflow::DropOldest
            || (self.ledger.pending + events < policy.capacity
                && self.used.saturating_add(bytes).saturating_add(write.cost()) <= policy.max_size)
    }

    pub(super) fn enqueue(&mut self, write: Write) {
        self.reserved.0 += 1;
        self.reserved.1 += write.cost();
        self.writes.push(write);
    }

    pub(super) const fn release(&mut self, events: u64, bytes: u64) {
        self.reserved.0 -= events;
        self.reserved.1 -= bytes;
    }

    /// Lets in those who stand in line, as far as there is room.
    pub(super) fn admit(&mut self, policy: &Policy) {
        while let Some(write) = self.line.pop_front() {
            if !self.has_room(policy, &write) {
                self.line.push_front(write);
                return;
            }
            self.enqueue(write);
        }
    }

    /// Whether a flush waits only for the disk.
    pub(super) fn is_flushed(&self) -> bool {
        let settled = self.ledger.settled();
        self.flushes.iter().any(|(target, _)| *target <= settled)
    }

    pub(super) fn take_flushed(&mut self, settled: u64) -> Vec<Arc<Slot>> {
        let flushed = self.flushes.extract_if(.., |(target, _)| *target <= settled);
        flushed.map(|(_, slot)| slot).collect()
    }

    pub(super) fn work(&mut self, now: Instant) -> Option<Work> {
        let done = &self.ledger.done;
        let done_due = done.since.is_some_and(|since| {
            // What could not be committed lies in the future, to be tried again then.
            let urgent = done.count() >= MANY || !self.line.is_empty() || self.is_flushed();
            now >= if urgent { since } else { since + LINGER }
        });
        let commit = done_due
            || (done.is_empty() && self.is_flushed())
            || (!self.writes.is_empty() && self.writes.len() >= self.worth)
            || !self.commands.is_empty()
            || self.ended.is_some();
        let load = if self.stopped { None } else { self.ledger.wanted() };
        // Whoever aborts closes the feed himself, and tells the sink.
        let close_feed = self.closed.is_some()
            && !self.aborted
            && !self.feed_closed
            && self.writes.is_empty()
            && self.commands.is_empty()
            && (self.stopped || !self.ledger.has_more());
        if !(commit || load.is_some() || close_feed) {
            return None;
        }
        self.feed_closed |= close_feed;
        let mut work = Work { load, close_feed, ..Work::default() };
        if commit {
            work.writes = std::mem::take(&mut self.writes);
            work.done = std::mem::take(&mut self.ledger.done);
            work.settled = self.ledger.settled();
            work.commands = std::mem::take(&mut self.commands);
            work.end.clone_from(&self.ended);
        }
        Some(work)
    }
}
