//! Where writers, the worker and the committer meet: one lock, held for moments.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use events_core::{ErrorKind, Overflow, SinkError, Sleepers, Stats, Waiters};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::{
    Which,
    ledger::{Done, Ledger},
    reply::Slot,
    row::Row,
    waiting::Waiting,
};

/// How long the news of a delivery waits for a write to ride with. A process that ends meanwhile
/// delivers these events again.
const LINGER: Duration = Duration::from_millis(10);
/// How long they wait before they are tried again, when the disk has failed.
const PAUSE: Duration = Duration::from_millis(100);
/// So many deliveries wait for no more.
const MANY: u64 = 4_096;

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

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    /// To go into the next transaction, in this order.
    writes: Vec<Write>,
    /// Waiting for room, first come, first served.
    line: VecDeque<Write>,
    /// How many events are queued or being committed, and what they will take on the disk.
    reserved: (u64, u64),
    /// How many bytes of the file are in use.
    used: u64,
    commands: Vec<Command>,
    /// Whom to tell once all before a place is settled, and no more on the disk.
    flushes: Vec<(u64, Arc<Slot>)>,
    /// How many writes are worth waking the committer for.
    worth: usize,
    /// Takes no more events, for this reason.
    closed: Option<SinkError>,
    /// Loads no more: the file cannot be read, or the queue was aborted.
    stopped: bool,
    /// What is wrong with the file.
    broken: Option<SinkError>,
    aborted: bool,
    feed_closed: bool,
    /// How the worker ended.
    ended: Option<Result<(), SinkError>>,
    /// How it all ended, once the file is closed.
    finished: Option<Result<(), SinkError>>,
    closers: Waiters,
}

/// An event to be committed.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) text: Arc<str>,
    pub(crate) slot: Arc<Slot>,
}

impl Write {
    /// What it takes on the disk, more or less.
    fn cost(&self) -> u64 {
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

impl Desk {
    pub(crate) fn new(policy: Policy, ledger: Ledger, used: u64) -> Self {
        let state = State {
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
            closers: Waiters::new(),
        };
        Self { policy, state: Mutex::new(state), work: Condvar::new() }
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
        drop(state);
        self.work.notify_one();
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
                let id = crate::EventId::new(file, seq);
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
        let closers: Sleepers = state.closers.take();
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

    /// How it all ended, once it has.
    pub(crate) async fn finished(&self) -> Result<(), SinkError> {
        let mut ticket = None;
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(outcome) = &state.finished {
                return Poll::Ready(outcome.clone());
            }
            state.closers.register(&mut ticket, cx.waker());
            Poll::Pending
        })
        .await
    }
}

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

impl State {
    pub(crate) fn check_open(&self) -> Result<(), SinkError> {
        self.closed.clone().map_or(Ok(()), Err)
    }

    fn has_room(&self, policy: &Policy, write: &Write) -> bool {
        let (events, bytes) = self.reserved;
        policy.overflow == Overflow::DropOldest
            || (self.ledger.pending + events < policy.capacity
                && self.used.saturating_add(bytes).saturating_add(write.cost()) <= policy.max_size)
    }

    fn enqueue(&mut self, write: Write) {
        self.reserved.0 += 1;
        self.reserved.1 += write.cost();
        self.writes.push(write);
    }

    const fn release(&mut self, events: u64, bytes: u64) {
        self.reserved.0 -= events;
        self.reserved.1 -= bytes;
    }

    /// Lets in those who stand in line, as far as there is room.
    fn admit(&mut self, policy: &Policy) {
        while let Some(write) = self.line.pop_front() {
            if !self.has_room(policy, &write) {
                self.line.push_front(write);
                return;
            }
            self.enqueue(write);
        }
    }

    /// Whether a flush waits only for the disk.
    fn is_flushed(&self) -> bool {
        let settled = self.ledger.settled();
        self.flushes.iter().any(|(target, _)| *target <= settled)
    }

    fn take_flushed(&mut self, settled: u64) -> Vec<Arc<Slot>> {
        let flushed = self.flushes.extract_if(.., |(target, _)| *target <= settled);
        flushed.map(|(_, slot)| slot).collect()
    }

    fn work(&mut self, now: Instant) -> Option<Work> {
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
        let close_feed = self.closed.is_some()
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
