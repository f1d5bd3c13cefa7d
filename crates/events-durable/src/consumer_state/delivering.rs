//! What becomes of events as they are delivered.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use events_core::{
    ErrorKind, SinkError,
    engine::{Mode, clock},
};

use super::{
    Aftermath, ConsumerState, Locked,
    changes::{DeliveryRow, FailedAttempt, RowState},
    window::Loaded,
};
use crate::{encoding::describe, stored::Stored, stored::now};

/// So many changes wait for no more of them.
const MANY: u64 = 4_096;
/// So many events may be settled out of order before those that hold up the position get rows: a
/// process that ends suddenly delivers them again.
const MOST_OUT_OF_ORDER: u64 = 256;

/// Which events of a run are to be delivered now.
#[derive(Debug)]
pub(crate) enum Began {
    All,
    /// Those at these places.
    Some(Vec<usize>),
    /// None, nor any after them: they stay for the next run.
    Stop,
}

/// What is noted of an event that failed.
#[derive(Debug)]
pub(crate) struct Failed<'a> {
    pub(crate) seq: u64,
    pub(crate) attempts: u32,
    pub(crate) key: Option<u64>,
    pub(crate) error: &'a SinkError,
}

impl<E> ConsumerState<E> {
    /// The sink is about to be given these events, once nobody has paused it: except for some that
    /// were dropped meanwhile, or whose key is held up by an earlier one.
    ///
    /// After an abort none is: an event that comes after one that stays for the next run must stay
    /// as well, or they would change places.
    pub(crate) async fn begin(&self, events: &[Stored<E>], keys: &[Option<u64>]) -> Began {
        let running = poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut locked = self.lock();
            if locked.mode == Mode::Running || locked.aborted || locked.closing_at.is_some() {
                return Poll::Ready(());
            }
            let replaced = locked.waiting.register(&mut None, waker);
            drop(locked);
            drop(replaced);
            Poll::Pending
        });
        running.await;
        let mut locked = self.lock();
        if locked.keeps_all() {
            return Began::Stop;
        }
        let mut places = Vec::new();
        for (place, event) in events.iter().enumerate() {
            let key = keys.get(place).copied().flatten();
            if locked.begin_one(event, key) {
                places.push(place);
            }
        }
        if places.len() == events.len() { Began::All } else { Began::Some(places) }
    }

    /// Waits for `limit`, or until the delivery is stopped: true then.
    pub(crate) async fn pause(&self, limit: Duration) -> bool {
        let mut sleep = pin!(clock::sleep(limit));
        let mut key = None;
        let stopped = poll_fn(|cx| {
            // Cloned and dropped outside the lock: a waker is somebody else's code.
            let waker = cx.waker().clone();
            let mut locked = self.lock();
            if locked.keeps_all() {
                return Poll::Ready(true);
            }
            let replaced = locked.waiting.register(&mut key, waker);
            drop(locked);
            drop(replaced);
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await;
        let waker = self.lock().waiting.cancel(&mut key);
        drop(waker);
        stopped
    }

    /// Notes what has become of some events. `None` if it is too late: the consumer has ended, and
    /// they are kept.
    pub(crate) fn note(&self, note: impl FnOnce(&mut Locked)) -> Option<Aftermath> {
        let mut locked = self.lock();
        if locked.has_ended() {
            return None;
        }
        let was_low = locked.window.is_low();
        note(&mut locked);
        Some(locked.aftermath(was_low))
    }
}

impl Locked {
    /// Whether all that is not delivered stays on the disk for the next run.
    pub(crate) fn keeps_all(&self) -> bool {
        self.aborted || (self.mode == Mode::Disabled && self.closing_at.is_some())
    }

    /// Whether an event with such an error stays on the disk for the next run: its delivery was cut
    /// short, or the destination is gone.
    pub(crate) fn keeps(&self, kind: ErrorKind) -> bool {
        match kind {
            // The sink's own are renamed, so this one means that nobody has tried.
            ErrorKind::Undelivered | ErrorKind::Closed => true,
            kind => kind.is_retryable() && self.keeps_all(),
        }
    }

    /// Whether the event is to be delivered now.
    fn begin_one<E>(&mut self, event: &Stored<E>, key: Option<u64>) -> bool {
        if !self.window.contains(event.seq) {
            return false;
        }
        if let Some(key) = key
            && self.keys.holds(key, event.seq)
        {
            self.set_aside(event.seq, RowState::Behind, Some(key), 0, 0, None);
            return false;
        }
        self.attempts += 1;
        self.window.set_in_flight(event.seq, true)
    }

    /// The sink has committed the event at `seq`.
    pub(crate) fn deliver(&mut self, seq: u64, key: Option<u64>) {
        let Some(loaded) = self.window.remove(seq) else { return };
        self.delivered += 1;
        self.failing_since = None;
        self.settle(&loaded, key);
    }

    /// The sink does not have the event at `seq` any more, which stays for the next run.
    pub(crate) fn keep(&mut self, seq: u64) {
        self.window.set_in_flight(seq, false);
    }

    /// The event is a dead letter.
    pub(crate) fn bury(&mut self, failed: &Failed<'_>) {
        let &Failed { seq, attempts, key, error } = failed;
        let Some(_loaded) = self.window.remove(seq) else { return };
        self.failed += 1;
        self.pass(seq);
        let (attempts, at, error) = (attempts.saturating_add(1), now(), describe(error));
        self.changes.attempts.push(FailedAttempt {
            seq,
            attempt: attempts,
            at,
            error: error.clone(),
        });
        let failure = Some((at, error));
        let row = DeliveryRow { state: RowState::Dead, key: None, attempts, due: 0, failure };
        self.changes.set_row(seq, row);
        self.settle_key(key, seq);
    }

    /// What was read at `seq` is no event: it is a dead letter without having been delivered.
    pub(crate) fn bury_unread(&mut self, seq: u64, attempts: u32, key: Option<u64>, error: String) {
        let Some(_loaded) = self.window.remove(seq) else { return };
        self.failed += 1;
        self.pass(seq);
        let failure = Some((now(), error));
        let attempts = attempts.saturating_add(1);
        let row = DeliveryRow { state: RowState::Dead, key: None, attempts, due: 0, failure };
        self.changes.set_row(seq, row);
        self.settle_key(key, seq);
    }

    /// The event is to be delivered again after `delay`. Unless it `counts`, that was no attempt of
    /// its own.
    pub(crate) fn park(&mut self, failed: &Failed<'_>, delay: Duration, counts: bool) {
        let &Failed { seq, attempts, key, error } = failed;
        if !self.window.contains(seq) {
            return;
        }
        let at = now();
        let mut attempt = attempts;
        let mut failure = None;
        if counts {
            attempt = attempts.saturating_add(1);
            let error = describe(error);
            self.changes.attempts.push(FailedAttempt { seq, attempt, at, error: error.clone() });
            failure = Some((at, error));
        }
        let due = at.saturating_add(delay.as_millis().min(i64::MAX as u128 / 2) as u64);
        // Behind one of the same batch, it waits for that one as well.
        let is_behind = key.is_some_and(|key| self.keys.holds(key, seq));
        let state = if is_behind { RowState::Behind } else { RowState::Parked };
        self.set_aside(seq, state, key, attempt, due, failure);
    }

    /// The event leaves the memory; its row tells when it comes back.
    fn set_aside(
        &mut self,
        seq: u64,
        state: RowState,
        key: Option<u64>,
        attempts: u32,
        due: u64,
        failure: Option<(u64, String)>,
    ) {
        let Some(_loaded) = self.window.remove(seq) else { return };
        self.set_aside += 1;
        self.pass(seq);
        match (key, state) {
            (Some(key), RowState::Behind) => self.keys.follow(key),
            (Some(key), _) => self.keys.lead(key, seq),
            (None, _) => {}
        }
        self.changes.set_row(seq, DeliveryRow { state, key, attempts, due, failure });
    }

    /// The oldest events that the sink does not have, up to so many, are dropped: how many.
    pub(crate) fn drop_waiting(&mut self, most: u64) -> u64 {
        let dropped = self.window.take_waiting(most);
        self.drop_loaded(&dropped)
    }

    /// What lies before `seq` is no longer kept: what is in memory and not with the sink is dropped.
    pub(crate) fn drop_before(&mut self, seq: u64) -> u64 {
        let dropped = self.window.take_before(seq);
        self.drop_loaded(&dropped)
    }

    fn drop_loaded(&mut self, dropped: &[Loaded]) -> u64 {
        for loaded in dropped {
            self.overflow += 1;
            self.settle(loaded, None);
        }
        dropped.len() as u64
    }

    /// So many events were dropped that were not in memory; those that are left begin at `next`.
    pub(crate) fn drop_unloaded(&mut self, count: u64, next: u64) {
        self.overflow += count;
        self.changes.passed += count.max(1);
        self.passed = self.passed.max(next);
        self.skip_to(next);
    }

    fn pass(&mut self, seq: u64) {
        self.changes.passed += 1;
        self.passed = self.passed.max(seq + 1);
    }

    fn settle(&mut self, loaded: &Loaded, key: Option<u64>) {
        self.pass(loaded.seq);
        self.settle_key(key, loaded.seq);
        if loaded.has_row {
            self.changes.settle_row(loaded.seq);
        }
    }

    fn settle_key(&mut self, key: Option<u64>, seq: u64) {
        if let Some(key) = key {
            self.keys.settle(key, seq);
        }
    }

    /// All of an attempt's events failed in a way that may get better. For how long nothing else
    /// has happened, if that is too long from now on.
    pub(crate) fn fail_all(&mut self, limit: Option<Duration>) -> Option<Duration> {
        let now = Instant::now();
        let failing = now.saturating_duration_since(*self.failing_since.get_or_insert(now));
        let is_over = self.mode == Mode::Running && limit.is_some_and(|limit| failing >= limit);
        if is_over {
            self.set_mode(Mode::Disabled);
        }
        is_over.then_some(failing)
    }

    /// What others have to do after a change; the window was low before, or not.
    pub(super) fn aftermath(&mut self, was_low: bool) -> Aftermath {
        if self.changes.passed > MOST_OUT_OF_ORDER && self.out_of_order() > MOST_OUT_OF_ORDER {
            self.give_rows();
        }
        let has_ended = self.ended.is_some() && !self.is_end_saved;
        let has_changes = !self.changes.is_empty() || has_ended;
        let is_urgent =
            self.changes.count() >= MANY || has_ended || self.changes.mode || self.is_flushed();
        let is_new = has_changes && !self.is_queued;
        self.is_queued |= has_changes;
        Aftermath {
            has_changes: is_new,
            is_urgent,
            is_hungry: (!was_low || self.is_over_or_advancing()) && self.is_hungry(),
        }
    }

    fn is_over_or_advancing(&self) -> bool {
        !self.keys.advancing().is_empty() || self.closing_at.is_some() || self.due_is_stale
    }

    /// How many events are settled behind some that are not.
    fn out_of_order(&self) -> u64 {
        let behind = self.passed.saturating_sub(self.position());
        behind.saturating_sub(self.window.in_order_before(self.passed) as u64)
    }

    /// Gives a row to each event that holds up the position while others behind it are settled.
    pub(crate) fn give_rows(&mut self) {
        for seq in self.window.give_rows_before(self.passed) {
            let row = DeliveryRow {
                state: RowState::Parked,
                key: None,
                attempts: 0,
                due: 0,
                failure: None,
            };
            self.changes.set_row(seq, row);
        }
    }
}
