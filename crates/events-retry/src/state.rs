use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use events_core::{
    Gate,
    engine::{
        Position, TraceLimit, WakeList, WakerKey, WakerSet,
        clock::{self, Sleep},
        sync::Mutex,
    },
};

use crate::stats::RetryStats;

/// A strategy that says `Wait` without a time must not spin.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

/// What all writes of one `Retry` share: its end, its figures, and those who wait.
///
/// Every answered attempt advances one [`Position`], whose flag says whether anybody waits. A write
/// that is to wait reads the count before it asks its strategy, and raises the flag before it
/// sleeps: either it sees an answer that came between, or that answer sees the flag. So a success
/// costs one atomic addition and looks for nobody.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) closed: Gate,
    pub(crate) aborted: Gate,
    answers: Position,
    desk: Mutex<Desk>,
    pub(crate) failed: TraceLimit,
    pub(crate) given_up: TraceLimit,
}

/// Everything but the successes, which are what is left of the answers.
#[derive(Debug, Default)]
struct Desk {
    waiting: WakerSet,
    counts: Counts,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) failures: u64,
    pub(crate) refused: u64,
    pub(crate) abandoned: u64,
    pub(crate) retries: u64,
    pub(crate) given_up: u64,
}

impl State {
    /// No new writes; those that wait end.
    pub(crate) fn close(&self) {
        self.closed.close();
        self.wake();
    }

    /// No new writes; those that wait are given up for an abort's sake.
    pub(crate) fn abort(&self) {
        self.aborted.close();
        self.close();
    }

    /// How many attempts have been answered.
    #[inline]
    pub(crate) fn answers(&self) -> u64 {
        self.answers.settled()
    }

    /// An attempt has succeeded.
    #[inline]
    pub(crate) fn succeeded(&self) {
        if self.answers.advance(1) {
            self.wake();
        }
    }

    /// An attempt was answered in another way.
    pub(crate) fn answered(&self, count: impl FnOnce(&mut Counts)) {
        let mut desk = self.desk.lock();
        count(&mut desk.counts);
        self.answers.advance(1);
        let sleepers = self.all(&mut desk);
        drop(desk);
        sleepers.wake();
    }

    /// Counts what is no answer.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.desk.lock().counts);
    }

    /// Has all who wait ask again.
    #[cold]
    fn wake(&self) {
        let sleepers = self.all(&mut self.desk.lock());
        sleepers.wake();
    }

    fn all(&self, desk: &mut Desk) -> WakeList {
        self.answers.clear_notified();
        desk.waiting.take()
    }

    /// Ends after `limit`, or once there is an answer after the first `seen`, or at the end.
    pub(crate) fn wait(&self, seen: u64, limit: Duration) -> Wait<'_> {
        Wait { state: self, seen, limit, ticket: None, sleep: None }
    }

    pub(crate) fn stats(&self) -> RetryStats {
        let desk = self.desk.lock();
        let attempts = self.answers();
        let Counts { failures, refused, abandoned, retries, given_up } = desk.counts;
        let successes = attempts - failures - refused - abandoned;
        RetryStats { attempts, successes, failures, refused, abandoned, retries, given_up }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

/// The future of [`State::wait`].
pub(crate) struct Wait<'a> {
    state: &'a State,
    seen: u64,
    limit: Duration,
    ticket: Option<WakerKey>,
    /// Started by the first poll, which is by the clock of whoever polls.
    sleep: Option<Sleep>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { state, seen, limit, ticket, sleep } = &mut *self;
        let waker = cx.waker().clone();
        let mut desk = state.desk.lock();
        let replaced = desk.waiting.register(ticket, waker);
        let changed = state.answers.notify() != *seen || state.closed.check().is_err();
        drop(desk);
        drop(replaced);
        if changed {
            return Poll::Ready(());
        }
        let sleep = sleep.get_or_insert_with(|| clock::sleep((*limit).max(SHORTEST_WAIT)));
        Pin::new(sleep).poll(cx)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let left = self.state.desk.lock().waiting.cancel(&mut self.ticket);
            drop(left);
        }
    }
}
