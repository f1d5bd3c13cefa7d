//! What stands under the commit queue's lock, and when there is something to do.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use events_core::{
    Overflow, SinkError,
    engine::{WakerKey, WakerSet},
};

use super::{Bounds, Command};
use crate::{completion::Promise, consumer_state::ConsumerState};

/// How long the news of a delivery waits for a write to ride with. A process that ends meanwhile
/// delivers these events again.
const LINGER: Duration = Duration::from_millis(10);
/// So many consumers' news cost as much as a commit: more of them wait for longer.
const MANY_CONSUMERS: usize = 100;
/// So long after somebody has begun to write events, the end of that transaction is expected.
#[cfg(feature = "outbox")]
const EXPECTED: Duration = Duration::from_secs(5);
/// How long they wait before they are tried again, when the disk has failed.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct State<E> {
    /// To go into the next transaction, in this order.
    pub(super) writes: Vec<Write<E>>,
    /// Waiting for room, first come, first served.
    pub(super) waiting: VecDeque<Write<E>>,
    /// How many events are queued or being committed, and what they will take on the disk.
    pub(super) reserved: (u64, u64),
    /// How many bytes of the file are in use.
    pub(super) used: u64,
    /// The sequence number that the next event gets, those queued not counted.
    pub(super) head: u64,
    /// How many events of this run were written, and how many dropped before they were.
    pub(super) written: u64,
    pub(super) unwritten: u64,
    pub(super) commands: Vec<Command>,
    /// The consumers that run here.
    pub(super) consumers: Vec<Arc<ConsumerState<E>>>,
    /// Those of them that have changes for the disk.
    pub(super) changed: Vec<Arc<ConsumerState<E>>>,
    /// When these changes are to be written.
    pub(super) changes_due: Option<Instant>,
    /// Whether that is because the disk has failed.
    pub(super) is_postponed: bool,
    /// Until when somebody else may be about to commit events, and whether that is news.
    others_until: Option<Instant>,
    is_looked_for: bool,
    /// How many writes are worth waking the committer for.
    pub(super) worth: usize,
    /// Takes no more events, for this reason.
    pub(super) closed: Option<SinkError>,
    /// What is wrong with the file.
    pub(super) broken: Option<SinkError>,
    /// How the consumers ended that have.
    pub(super) outcomes: Vec<SinkError>,
    /// How it all ended, once the file is closed.
    pub(super) finished: Option<Result<(), SinkError>>,
    pub(super) closers: WakerSet,
    /// Whom to wake when events were written.
    pub(super) readers: WakerSet,
}

/// Events to be committed, all or none.
#[derive(Debug)]
pub(crate) struct Write<E> {
    pub(crate) events: Vec<(String, Arc<E>)>,
    pub(crate) promise: Arc<Promise>,
}

impl<E> Write<E> {
    pub(crate) const fn count(&self) -> u64 {
        self.events.len() as u64
    }

    /// What it takes on the disk, more or less.
    pub(super) fn cost(&self) -> u64 {
        let cost = |(text, _): &(String, Arc<E>)| text.len() as u64 + text.len() as u64 / 16 + 64;
        self.events.iter().map(cost).sum()
    }
}

/// How many events these are.
pub(crate) fn count<E>(writes: &[Write<E>]) -> u64 {
    writes.iter().map(Write::count).sum()
}

/// What the committer is to do next.
#[derive(Debug)]
pub(crate) struct Work<E> {
    pub(crate) writes: Vec<Write<E>>,
    pub(crate) changed: Vec<Arc<ConsumerState<E>>>,
    pub(crate) commands: Vec<Command>,
    /// This is the last.
    pub(crate) is_end: bool,
}

impl<E> Work<E> {
    pub(super) fn nothing() -> Self {
        let (writes, changed, commands) = (Vec::new(), Vec::new(), Vec::new());
        Self { writes, changed, commands, is_end: false }
    }
}

impl<E> State<E> {
    pub(super) fn new(head: u64, used: u64) -> Self {
        Self {
            writes: Vec::new(),
            waiting: VecDeque::new(),
            reserved: (0, 0),
            used,
            head,
            written: 0,
            unwritten: 0,
            commands: Vec::new(),
            consumers: Vec::new(),
            changed: Vec::new(),
            changes_due: None,
            is_postponed: false,
            others_until: None,
            is_looked_for: false,
            worth: 1,
            closed: None,
            broken: None,
            outcomes: Vec::new(),
            finished: None,
            closers: WakerSet::new(),
            readers: WakerSet::new(),
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), SinkError> {
        self.closed.clone().map_or(Ok(()), Err)
    }

    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// The sequence number of the next event once all that is queued is written.
    pub(crate) const fn head_after_writes(&self) -> u64 {
        self.head + self.reserved.0
    }

    /// How many bytes of the file are in use once all that is queued is written, more or less.
    pub(crate) const fn used_after_writes(&self) -> u64 {
        self.used + self.reserved.1
    }

    pub(crate) const fn counts(&self) -> (u64, u64) {
        (self.written, self.unwritten)
    }

    pub(crate) fn consumers(&self) -> &[Arc<ConsumerState<E>>] {
        &self.consumers
    }

    pub(crate) const fn readers(&mut self) -> &mut WakerSet {
        &mut self.readers
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Whether somebody else may be about to commit events.
    pub(crate) fn expects_others(&self) -> bool {
        self.others_until.is_some_and(|until| Instant::now() < until)
    }

    #[cfg(feature = "outbox")]
    pub(super) fn expect_others(&mut self) {
        self.is_looked_for = !self.expects_others();
        self.others_until = Some(Instant::now() + EXPECTED);
    }

    /// Whether that has become so since this was asked.
    pub(super) const fn is_looked_for(&mut self) -> bool {
        std::mem::replace(&mut self.is_looked_for, false)
    }

    /// Whether somebody waits for room.
    pub(crate) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn has_room(&self, bounds: &Bounds, write: &Write<E>) -> bool {
        if bounds.overflow == Overflow::DropOldest {
            return true;
        }
        let (events, bytes) = self.reserved;
        let fits = self.used.saturating_add(bytes).saturating_add(write.cost()) <= bounds.max_size;
        fits && (bounds.capacity == u64::MAX
            || self.most_pending() + events + write.count() <= bounds.capacity)
    }

    /// How many events the consumer has left that has most.
    fn most_pending(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.lock().pending()).max().unwrap_or(0)
    }

    pub(super) fn enqueue(&mut self, write: Write<E>) {
        self.reserved.0 += write.count();
        self.reserved.1 += write.cost();
        self.writes.push(write);
    }

    pub(super) const fn release(&mut self, events: u64, bytes: u64) {
        self.reserved.0 -= events;
        self.reserved.1 -= bytes;
    }

    /// Lets in those who wait for room, as far as there is some.
    pub(super) fn admit(&mut self, bounds: &Bounds) {
        while let Some(write) = self.waiting.pop_front() {
            if !self.has_room(bounds, &write) {
                self.waiting.push_front(write);
                return;
            }
            self.enqueue(write);
        }
    }

    /// A consumer has changes for the disk.
    pub(super) fn add_changed(&mut self, consumer: &Arc<ConsumerState<E>>) {
        self.changed.push(Arc::clone(consumer));
        let share = (self.consumers.len() / MANY_CONSUMERS).max(1) as u32;
        self.changes_due.get_or_insert_with(|| Instant::now() + LINGER * share);
    }

    /// Changes wait no longer.
    pub(super) fn hurry(&mut self) {
        if self.changes_due.is_some() && !self.is_postponed {
            self.changes_due = Some(Instant::now());
        }
    }

    /// The disk has failed: changes are tried again later.
    pub(super) fn postpone(&mut self) {
        self.is_postponed = !self.changed.is_empty();
        self.changes_due = self.is_postponed.then(|| Instant::now() + PAUSE);
    }

    /// Whether all is over, but for the last commit.
    fn is_over(&self) -> bool {
        self.closed.is_some()
            && self.consumers.is_empty()
            && self.writes.is_empty()
            && self.changed.is_empty()
    }

    pub(super) fn work(&mut self, now: Instant, leftovers: bool) -> Option<Work<E>> {
        let is_end = self.is_over();
        let commit = leftovers
            || self.changes_due.is_some_and(|due| now >= due)
            || (!self.writes.is_empty() && self.writes.len() >= self.worth)
            || !self.commands.is_empty();
        if !(commit || is_end) {
            return None;
        }
        self.changes_due = None;
        self.is_postponed = false;
        Some(Work {
            writes: std::mem::take(&mut self.writes),
            changed: std::mem::take(&mut self.changed),
            commands: std::mem::take(&mut self.commands),
            is_end,
        })
    }

    pub(crate) fn cancel_reader(&mut self, key: &mut Option<WakerKey>) -> Option<std::task::Waker> {
        self.readers.cancel(key)
    }
}
