//! Where one consumer stands: what of it is in memory, what is settled, and what the disk does not
//! know yet.

pub(crate) mod changes;
mod delivering;
pub(crate) mod keys;
mod loading;
mod saving;
pub(crate) mod window;

use std::{sync::Arc, time::Instant};

use events_core::{
    Dropped, SinkError, Stats,
    engine::{Account, Mode, WakerSet},
};
use parking_lot::{Mutex, MutexGuard};

pub(crate) use delivering::{Began, Failed};
pub(crate) use loading::{InOrder, Plan};
pub(crate) use saving::Snapshot;
use window::Window;

use crate::{
    completion::Promise,
    consumer_rows::Found,
    consumer_state::{changes::Changes, keys::Keys},
    stored::{Stored, now, system_time},
};

/// One consumer that runs in this process.
///
/// Its lock may be taken under that of the [commit queue](crate::commit_queue::CommitQueue), never
/// the other way round. Nothing of the user's is called under it.
#[derive(Debug)]
pub(crate) struct ConsumerState<E> {
    /// By which the tables know it.
    pub(crate) number: i64,
    pub(crate) name: Arc<str>,
    /// Whether the log takes no more events once this consumer has ended.
    pub(crate) ends_log: bool,
    /// Until the consumer has ended: the account tells this of its end.
    pub(crate) account: Mutex<Option<Arc<Account<Stored<E>>>>>,
    locked: Mutex<Locked>,
    /// How it ended, once all of it is on the disk.
    pub(crate) finished: Promise,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Locked {
    window: Window,
    /// The sequence number of the next event to be loaded in the order of the log.
    next_load: u64,
    /// After the last event in that order that is settled, or has a row.
    passed: u64,
    /// The sequence number of the next event to be written.
    head: u64,
    /// Events with rows of their own that are not in memory, and are not dead letters.
    set_aside: u64,
    /// When the first of them is due that the disk knows of, in milliseconds since the epoch.
    next_due: Option<u64>,
    /// Whether the disk has to be asked for that again.
    due_is_stale: bool,
    keys: Keys,
    changes: Changes,
    /// What is being written to the disk.
    saving: Option<Arc<Changes>>,
    /// How many times something was written to the disk.
    saves: u64,
    /// Whether it stands in the list of those who have changes.
    is_queued: bool,
    accepted: u64,
    delivered: u64,
    failed: u64,
    overflow: u64,
    attempts: u64,
    mode: Mode,
    /// Since when, in milliseconds since the epoch, all attempts have failed.
    failing_since: Option<Instant>,
    aborted: bool,
    /// The file is to forget it.
    is_forgotten: bool,
    /// The file cannot be read any more.
    stopped: bool,
    /// It ends once all before this sequence number is settled.
    closing_at: Option<u64>,
    /// How the delivery ended.
    ended: Option<Result<(), SinkError>>,
    /// Whether the disk is being told, or knows.
    is_end_saved: bool,
    /// Whom to tell once all before a sequence number is settled, and the disk knows.
    flushes: Vec<(u64, Arc<Promise>)>,
    /// Deliveries that wait: to try again, or for the end of a pause.
    waiting: WakerSet,
}

/// What is to be done by others after a change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Aftermath {
    /// There is something to write to the disk, which was not so before.
    pub(crate) has_changes: bool,
    /// That is not to wait for more to come.
    pub(crate) is_urgent: bool,
    /// There is something to load.
    pub(crate) is_hungry: bool,
}

impl<E> ConsumerState<E> {
    /// A consumer as it was `found` on the disk, with at most so many events in memory.
    pub(crate) fn new(name: Arc<str>, found: Found, limit: usize, ends_log: bool) -> Self {
        let mode = if found.disabled { Mode::Disabled } else { Mode::Running };
        let locked = Locked {
            window: Window::new(limit),
            next_load: found.position,
            passed: found.position,
            head: found.head,
            set_aside: found.set_aside,
            next_due: None,
            due_is_stale: found.set_aside > 0,
            keys: Keys::new(found.held_keys),
            changes: Changes::default(),
            saving: None,
            saves: 0,
            is_queued: false,
            accepted: found.waiting + found.set_aside + found.missed,
            delivered: 0,
            failed: 0,
            overflow: found.missed,
            attempts: 0,
            mode,
            failing_since: None,
            aborted: false,
            is_forgotten: false,
            stopped: false,
            closing_at: None,
            ended: None,
            is_end_saved: false,
            flushes: Vec::new(),
            waiting: WakerSet::new(),
        };
        Self {
            number: found.number,
            name,
            ends_log,
            account: Mutex::new(None),
            locked: Mutex::new(locked),
            finished: Promise::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock()
    }

    pub(crate) fn account(&self) -> Option<Arc<Account<Stored<E>>>> {
        self.account.lock().clone()
    }

    /// Changes what it does, and wakes its deliveries to see that.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Locked)) -> Aftermath {
        let mut locked = self.lock();
        change(&mut locked);
        let waiting = locked.waiting.take();
        let aftermath = locked.aftermath(false);
        drop(locked);
        waiting.wake();
        aftermath
    }
}

impl Locked {
    /// Events that are not settled.
    pub(crate) const fn pending(&self) -> u64 {
        self.accepted - self.delivered - self.failed - self.overflow
    }

    /// How many of these stay in the file for the next run, once this one has ended.
    pub(crate) const fn kept(&self) -> u64 {
        if self.is_forgotten { 0 } else { self.pending() }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut dropped = Dropped::default();
        dropped.overflow = self.overflow;
        let moment = now();
        let since = |written| system_time(moment).duration_since(system_time(written)).ok();
        let until = |due| system_time(due).duration_since(system_time(moment)).unwrap_or_default();
        let mut stats = Stats::default();
        stats.accepted = self.accepted;
        stats.delivered = self.delivered;
        stats.failed = self.failed;
        stats.dropped = dropped;
        stats.pending = self.pending();
        stats.in_flight = self.window.in_flight() as u64;
        stats.parked = self.set_aside;
        stats.next_due = self.next_due.map(until);
        stats.attempts = self.attempts;
        stats.oldest = self.window.first().map(|first| since(first.written).unwrap_or_default());
        stats
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The next event that is to be loaded in the order of the log.
    pub(crate) const fn next_load(&self) -> u64 {
        self.next_load
    }

    pub(crate) fn set_mode(&mut self, mode: Mode) {
        self.changes.mode |= (self.mode == Mode::Disabled) != (mode == Mode::Disabled);
        self.mode = mode;
        self.failing_since = None;
    }

    /// Ends once all before `head` is settled. A pause ends; one that is disabled keeps its events.
    pub(crate) fn close_at(&mut self, head: u64) {
        self.closing_at.get_or_insert(head);
        if self.mode == Mode::Paused {
            self.mode = Mode::Running;
        }
    }

    pub(crate) fn abort(&mut self) {
        self.aborted = true;
        self.stopped = true;
        self.closing_at.get_or_insert(self.head);
    }

    /// What it has not delivered is nobody's any more.
    pub(crate) const fn forget(&mut self) {
        self.is_forgotten = true;
    }

    /// Loads nothing more: what is on the disk cannot be read.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.closing_at.get_or_insert(self.head);
    }

    pub(crate) fn end(&mut self, result: Result<(), SinkError>) {
        self.ended.get_or_insert(result);
    }

    /// Before this sequence number all is settled, or has a row of its own.
    pub(crate) fn position(&self) -> u64 {
        self.window.first_in_order().unwrap_or(self.next_load)
    }
}
