use std::{
    cell::Cell,
    sync::Arc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    batch::{Batch, Outcome},
    crew::Crew,
    state::{Answered, Rest, Shared, State, nanoseconds},
};
use crate::{
    engine::{
        cursor::Cursor,
        feed::{Chunk, Leftover, Reader},
    },
    error::SinkError,
    runtime::{
        clock,
        dispose::{dispose, wake},
        sync::Mutex,
    },
    strategy::{breaker::Breaker, progress::Progress, verdict::Verdict},
};

/// How a scheduler delivers.
#[derive(Debug)]
pub struct Policy {
    /// How many events the sink is given at once, at most.
    pub most: usize,
    /// How many events are enough for a batch not to wait for more, and how long it waits.
    pub linger: (usize, Duration),
    /// Whether the sink blocks its thread, so that somebody else has to look after new events
    /// before it is called.
    pub blocks: bool,
    /// Pauses all deliveries while the destination is down.
    pub circuit: Option<Breaker>,
    /// After how long of failures alone nothing more is delivered.
    pub disable_after: Option<Duration>,
}

/// What a queue has accepted and not settled, and who delivers what next.
///
/// One lock guards all of it. An account's lock may be held while it is taken, and the feed's is
/// taken inside. Nothing of the user's is called under it, and none of the events is dropped: that
/// is for the caller to do.
pub(crate) struct Backlog<E> {
    policy: Policy,
    /// The account's. Each event that is settled moves it on by one, in whatever order.
    cursor: Arc<Cursor>,
    /// Where its time begins.
    began: Instant,
    locked: Mutex<Locked<E>>,
}

struct Locked<E> {
    state: State<E>,
    crew: Crew,
    /// Those whose sinks wait, to be woken when the account ends without them.
    watching: Vec<Option<Waker>>,
    /// Somebody wants the attention of whoever looks next.
    notified: bool,
    /// The feed takes no more.
    closed: bool,
    /// Whether a deliverer went away before its end.
    is_abandoned: bool,
    mode: Mode,
    /// Since when all answers have been failures.
    failing_since: Option<Instant>,
}

/// Whether a queue delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Mode {
    /// It does.
    #[default]
    Running,
    /// An operator has paused it.
    Paused,
    /// Its destination has failed for so long that it was given up until somebody enables it.
    Disabled,
}

/// What a deliverer that looks for work is told.
pub(crate) enum Next<E> {
    Deliver(Arc<Batch<E>>),
    /// To [open](Backlog::open) this chunk.
    Open(Arc<Chunk<E>>),
    /// To look after the account.
    Notified,
    /// To look again and say whom to wake, since there is nothing now.
    AskWithWakers,
    /// To sleep until it is woken, or until then.
    Sleep(Option<Instant>),
    /// There is and will be nothing more.
    End,
}

/// What the events are doing, for a snapshot of the account.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) in_flight: u64,
    pub(crate) parked: u64,
    pub(crate) attempts: u64,
    pub(crate) next_due: Option<Instant>,
    pub(crate) oldest: Option<Instant>,
}

/// Why a batch is not settled by its answer alone.
pub(crate) struct Judged {
    /// Whether the failure counts as an attempt of the event's own.
    pub(crate) counts: bool,
    /// Whether it has turned the queue off: for how long all has failed.
    pub(crate) disabled: Option<Duration>,
}

impl<E> Backlog<E> {
    pub(crate) fn new(
        reader: Reader<E>,
        cursor: Arc<Cursor>,
        deliverers: usize,
        is_ordered: bool,
        policy: Policy,
    ) -> Self {
        let locked = Locked {
            state: State::new(reader, deliverers, is_ordered),
            crew: Crew::new(deliverers),
            watching: vec![None; deliverers],
            notified: false,
            closed: false,
            is_abandoned: false,
            mode: Mode::Running,
            failing_since: None,
        };
        Self { policy, cursor, began: clock::now(), locked: Mutex::new(locked) }
    }

    /// What a deliverer does next. With it: whether somebody wants attention who waits for what it has
    /// delivered.
    ///
    /// To settle that and to look for more is one step, since most of what a delivery costs is the
    /// lock. Another deliverer is woken if there is more to do and the sink is slow.
    pub(crate) fn next(&self, mut visit: Visit<'_, E>) -> (Next<E>, bool) {
        let id = visit.id;
        let mut locked = self.locked.lock();
        let notified = visit.delivered.is_some() && self.settle_delivered(&mut locked, id);
        let arrived = locked.crew.arrive(id);
        let next = self.choose(&mut locked, &mut visit);
        let wakes = match &next {
            Next::Deliver(_) => {
                let leaderless = self.policy.blocks && !locked.crew.has_leader();
                let now = || self.since(visit.now.get());
                leaderless || (visit.is_slow && locked.state.has_work(now))
            }
            Next::End => true,
            _ => false,
        };
        let woken = if wakes { locked.crew.wake_one() } else { None };
        drop(locked);
        dispose(arrived);
        dispose(visit.waker);
        dispose(visit.log_waker);
        visit.leftover.dispose();
        woken.into_iter().for_each(wake);
        if let Some(batch) = visit.delivered {
            self.succeeded(batch);
        }
        (next, notified)
    }

    fn choose(&self, locked: &mut Locked<E>, visit: &mut Visit<'_, E>) -> Next<E> {
        if locked.state.is_given_up() {
            return Next::End;
        }
        // Another goes on, and is quick. Two on two cores would fight over what they share.
        let idle = if visit.retires && locked.crew.are_several_active() {
            Idle::until(None)
        } else {
            match self.look(locked, visit) {
                Ok(next) => return next,
                Err(idle) => idle,
            }
        };
        let is_read =
            locked.closed && locked.state.reader.at() >= locked.state.reader.feed().head();
        if is_read && locked.state.is_empty() {
            return Next::End;
        }
        if std::mem::take(&mut locked.notified) {
            return Next::Notified;
        }
        let Some(waker) = visit.waker.take() else { return Next::AskWithWakers };
        locked.crew.rest(visit.id, waker, idle.leads);
        Next::Sleep(idle.until)
    }

    /// Something to do, or until when there is nothing.
    fn look(&self, locked: &mut Locked<E>, visit: &mut Visit<'_, E>) -> Result<Next<E>, Idle> {
        match self.verdict(locked) {
            Verdict::Probe => {
                let found = self.take(locked, visit, Verdict::Probe);
                if !matches!(found, Ok(Next::Deliver(_))) {
                    // There is nothing to try the destination with.
                    self.release_probe();
                }
                found
            }
            Verdict::Go => self.take(locked, visit, Verdict::Go),
            // When this ends, all are woken: until then another one has nothing to look for either.
            Verdict::Wait(pause) => {
                Err(Idle { until: visit.now.get().checked_add(pause), leads: true })
            }
            Verdict::GiveUp => Err(Idle { until: None, leads: true }),
        }
    }

    /// Whether anything is to be delivered now.
    fn verdict(&self, locked: &Locked<E>) -> Verdict {
        if locked.mode != Mode::Running && !locked.closed {
            return Verdict::GiveUp;
        }
        match &self.policy.circuit {
            Some(breaker) => breaker.circuit().proceed(&Progress::new()),
            None => Verdict::Go,
        }
    }

    fn release_probe(&self) {
        if let Some(breaker) = &self.policy.circuit {
            let mut progress = Progress::new();
            progress.begin(Verdict::Probe);
            breaker.circuit().release(&progress);
        }
    }

    /// The next batch, or what has to be done for it first.
    fn take(
        &self,
        locked: &mut Locked<E>,
        visit: &mut Visit<'_, E>,
        verdict: Verdict,
    ) -> Result<Next<E>, Idle> {
        let Visit { id, spare, now, log_waker, leftover, .. } = visit;
        loop {
            let state = &mut locked.state;
            let elapsed = || self.since(now.get());
            if let Some(batch) = state.take(*id, elapsed, self.policy.most, verdict, spare) {
                return Ok(Next::Deliver(batch));
            }
            let due = state.next_due().and_then(|due| self.at(due));
            if state.is_opening() {
                return Err(Idle::until(due));
            }
            let (wanted, lingers_until) = self.wanted(state, now);
            match state.reader.poll_leaving(log_waker, wanted, leftover) {
                Poll::Ready(Some(chunk)) => {
                    let written = chunk.since();
                    state.begin_opening(Arc::clone(&chunk));
                    if state.is_ordered() {
                        return Ok(Next::Open(chunk));
                    }
                    drop(chunk);
                    if let Err((chunk, _)) = state.open(self.since(written), Vec::new(), None) {
                        return Ok(Next::Open(chunk));
                    }
                }
                // There will be no new events for anybody to look out for.
                Poll::Ready(None) => return Err(Idle { until: due, leads: true }),
                Poll::Pending => {
                    let until = [due, lingers_until].into_iter().flatten().min();
                    return Err(Idle { until, leads: true });
                }
            }
        }
    }

    /// Settles what deliverer `id` has delivered, who takes no more for now.
    pub(crate) fn delivered(&self, id: usize, batch: &Batch<E>) {
        let mut locked = self.locked.lock();
        self.settle_delivered(&mut locked, id);
        drop(locked);
        self.succeeded(batch);
    }

    /// The destination has taken `batch`, which is news for the circuit.
    fn succeeded(&self, batch: &Batch<E>) {
        if let Some(breaker) = &self.policy.circuit
            && breaker.succeeded(&answered(batch))
        {
            self.notify();
        }
    }

    /// True if somebody wants attention.
    fn settle_delivered(&self, locked: &mut Locked<E>, id: usize) -> bool {
        let settled = locked.state.delivered(id);
        if settled == 0 {
            return false;
        }
        locked.failing_since = None;
        // Under the lock, so that who gives up what is left finds it counted.
        self.cursor.settle_shared(settled as u64)
    }

    /// How many events make it worth reading, and until when that is so.
    fn wanted(&self, state: &State<E>, now: &Now) -> (usize, Option<Instant>) {
        let (events, limit) = self.policy.linger;
        if events <= 1 {
            return (1, None);
        }
        let since = state.reader.feed().since(state.reader.at());
        match since.and_then(|since| since.checked_add(limit)) {
            Some(until) if until <= now.get() => (1, None),
            until => (events, until),
        }
    }

    /// Deliverer `id` has the keys of a chunk that it was told to open. Back comes one whose events
    /// have to be cloned first.
    pub(crate) fn open(
        &self,
        chunk: Arc<Chunk<E>>,
        keys: Vec<Result<u64, SinkError>>,
        cloned: Option<Vec<E>>,
    ) -> Result<(), Shared<E>> {
        let written = self.since(chunk.since());
        drop(chunk);
        self.locked.lock().state.open(written, keys, cloned)
    }

    /// How a failure of `batch` that may get better is to be taken.
    pub(crate) fn judge(&self, batch: &Batch<E>, error: &SinkError) -> Judged {
        let now = clock::now();
        let mut judged = Judged { counts: true, disabled: None };
        if let Some(breaker) = &self.policy.circuit {
            let mut progress = answered(batch);
            progress.fail(error.clone());
            breaker.failed(&progress);
            judged.counts = !breaker.circuit().is_open();
        }
        let mut locked = self.locked.lock();
        let since = *locked.failing_since.get_or_insert(now);
        let failing = now.saturating_duration_since(since);
        if locked.mode == Mode::Running
            && self.policy.disable_after.is_some_and(|limit| failing >= limit)
        {
            locked.mode = Mode::Disabled;
            judged.disabled = Some(failing);
        }
        judged
    }

    /// A batch was refused in a way that says nothing of its destination's health.
    pub(crate) fn release(&self, batch: &Batch<E>) {
        if let Some(breaker) = &self.policy.circuit {
            breaker.circuit().release(&answered(batch));
        }
    }

    /// Settles, keeps or gives back each event that deliverer `id` had, as `outcomes` say. `None` if
    /// a closer has settled them.
    pub(crate) fn answer(
        &self,
        id: usize,
        batch: Arc<Batch<E>>,
        outcomes: Vec<Outcome>,
    ) -> Option<Answered<E>> {
        let now = self.since(clock::now());
        let mut locked = self.locked.lock();
        let answered = locked.state.answer(id, batch, outcomes, now)?;
        let settled = answered.delivered + answered.failed.len() as u64;
        if answered.delivered > 0 {
            locked.failing_since = None;
        }
        if settled > 0 {
            self.cursor.settle_shared(settled);
        }
        // Who is idle may sleep until a later time than that at which the first of these is due.
        let woken = if answered.has_parked { locked.crew.wake_one() } else { None };
        drop(locked);
        woken.into_iter().for_each(wake);
        Some(answered)
    }

    /// Drops what waits beyond the cursor's bound; how many events that were.
    pub(crate) fn drop_excess(&self, dropped: &mut Vec<E>) -> u64 {
        let Some(bound) = self.cursor.bound() else { return 0 };
        let mut locked = self.locked.lock();
        // Under the lock, where nothing is settled meanwhile: before it, others may go beyond the head.
        let head = locked.state.reader.feed().head();
        let (settled, floor) = (self.cursor.reached(), self.cursor.floor());
        let skipped = locked.state.drop_excess(head, settled, bound, floor, dropped);
        if skipped > 0 {
            self.cursor.settle_shared(skipped);
        }
        skipped
    }

    /// Takes out all that is left. From now on answers are ignored, and whoever looks is told to end.
    pub(crate) fn give_up(&self) -> Rest<E> {
        let now = self.since(clock::now());
        self.locked.lock().state.give_up(now)
    }

    /// Before this sequence number all is settled.
    pub(crate) fn first_unsettled(&self) -> u64 {
        self.locked.lock().state.first_unsettled()
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut locked = self.locked.lock();
        let state = &mut locked.state;
        let log = state.reader.feed().since(state.reader.at());
        Figures {
            in_flight: state.in_flight() as u64,
            parked: state.parked() as u64,
            attempts: state.attempts(),
            next_due: state.next_due().and_then(|due| self.at(due)),
            oldest: state.oldest().and_then(|written| self.at(written)).or(log),
        }
    }

    /// The sink of deliverer `id` waits: another one is to look after new events, and this one is
    /// woken when the account ends without it.
    pub(crate) fn watch(&self, id: usize, waker: &Waker) {
        let ours = waker.clone();
        let mut locked = self.locked.lock();
        locked.crew.wait(id);
        let old = locked.watching[id].replace(ours);
        // The one that leads hears of new events alone, not of what keys have let go or what is due.
        let may_deliver = (locked.mode == Mode::Running || locked.closed)
            && self.policy.circuit.as_ref().is_none_or(|breaker| !breaker.circuit().is_open());
        let is_left = may_deliver && locked.state.has_taken(|| self.since(clock::now()));
        let is_needed = is_left || !locked.crew.has_leader();
        let woken = if is_needed { locked.crew.wake_one() } else { None };
        drop(locked);
        dispose(old);
        woken.into_iter().for_each(wake);
    }

    /// Has whoever looks next look after the account, and wakes all.
    pub(crate) fn notify(&self) {
        let mut locked = self.locked.lock();
        locked.notified = true;
        let idle = locked.crew.wake_all();
        let watching: Vec<_> = locked.watching.iter_mut().filter_map(Option::take).collect();
        drop(locked);
        for (_, waker) in idle {
            wake(waker);
        }
        watching.into_iter().for_each(wake);
    }

    /// The feed takes no more. What was accepted is delivered, also by a queue that was paused.
    pub(crate) fn close(&self) {
        self.locked.lock().closed = true;
        self.notify();
    }

    pub(crate) fn mode(&self) -> Mode {
        self.locked.lock().mode
    }

    pub(crate) fn pause(&self) {
        let mut locked = self.locked.lock();
        if locked.mode == Mode::Running {
            locked.mode = Mode::Paused;
        }
    }

    /// Delivers again, if it is in `mode`.
    pub(crate) fn leave_mode(&self, mode: Mode) {
        let mut locked = self.locked.lock();
        if locked.mode != mode {
            return;
        }
        locked.mode = Mode::Running;
        locked.failing_since = None;
        drop(locked);
        self.notify();
    }

    /// A deliverer has ended. True if it was the last.
    pub(crate) fn leave(&self, id: usize) -> bool {
        let mut locked = self.locked.lock();
        let waker = locked.watching[id].take();
        let is_last = locked.crew.leave();
        drop(locked);
        dispose(waker);
        is_last
    }

    /// A deliverer goes away before its end. True for the first.
    pub(crate) fn abandon(&self) -> bool {
        !std::mem::replace(&mut self.locked.lock().is_abandoned, true)
    }

    fn since(&self, time: Instant) -> u64 {
        nanoseconds(time.saturating_duration_since(self.began))
    }

    fn at(&self, time: u64) -> Option<Instant> {
        self.began.checked_add(Duration::from_nanos(time))
    }

    /// How long ago an event was written.
    pub(crate) fn age(&self, written: u64) -> Duration {
        Duration::from_nanos(self.since(clock::now()).saturating_sub(written))
    }
}

/// A deliverer that looks for work.
pub(crate) struct Visit<'a, E> {
    id: usize,
    /// What it has delivered since it looked last.
    delivered: Option<&'a Batch<E>>,
    /// An empty batch, to be filled.
    spare: &'a mut Option<Arc<Batch<E>>>,
    /// Whether its sink takes long before it answers or waits.
    is_slow: bool,
    /// Whether it leaves the work to others who are at it.
    retires: bool,
    /// How it is woken when there is something: by another deliverer, and by the log. Cloned only
    /// once it is known that there is nothing, and not under the lock.
    waker: Option<Waker>,
    log_waker: Option<Waker>,
    now: Now,
    leftover: Leftover<E>,
}

impl<'a, E> Visit<'a, E> {
    pub(crate) fn new(id: usize, spare: &'a mut Option<Arc<Batch<E>>>, is_slow: bool) -> Self {
        let (now, leftover) = (Now::default(), Leftover::new());
        let (delivered, waker, log_waker, retires) = (None, None, None, false);
        Self { id, delivered, spare, is_slow, retires, waker, log_waker, now, leftover }
    }

    /// It has just delivered this, and leaves the rest to others if `retires` and there are some.
    pub(crate) const fn after(mut self, delivered: Option<&'a Batch<E>>, retires: bool) -> Self {
        self.delivered = delivered;
        self.retires = retires;
        self
    }

    /// It is woken so, if there is nothing.
    pub(crate) fn or_wake(mut self, waker: Option<&Waker>) -> Self {
        self.waker = waker.cloned();
        self.log_waker = waker.cloned();
        self
    }
}

/// There is nothing to do.
struct Idle {
    until: Option<Instant>,
    /// Whether new events wake this one, or there is nothing to be woken for: another one that is woken
    /// would find nothing else.
    leads: bool,
}

impl Idle {
    const fn until(until: Option<Instant>) -> Self {
        Self { until, leads: false }
    }
}

/// The time, read when it is asked for and not before: most of the time nothing depends on it.
#[derive(Default)]
struct Now(Cell<Option<Instant>>);

impl Now {
    fn get(&self) -> Instant {
        let now = self.0.get().unwrap_or_else(clock::now);
        self.0.set(Some(now));
        now
    }
}

/// The progress of a batch that is being answered.
fn answered<E>(batch: &Batch<E>) -> Progress {
    let mut progress = Progress::new();
    progress.begin(batch.verdict);
    progress
}
