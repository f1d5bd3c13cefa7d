use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use events_core::{
    Event, SinkError, Stats,
    engine::{Account, Waiting, WakerKey, WakerSet, clock, isolate, sync::Mutex},
};

use crate::{
    presence::{Leaves, Presence},
    sink_id::SinkId,
};

/// The account of one sink of a [`Broadcaster`](crate::Broadcaster).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SinkStats {
    /// Which sink.
    pub id: SinkId,
    /// Its name, if it is delivered to on a thread or in a task.
    pub name: Option<Arc<str>>,
    /// What became of the events since it joined.
    pub stats: Stats,
}

/// The sinks that have workers, and how they end.
pub(crate) struct Roster<E> {
    state: Mutex<State<E>>,
    presence: Arc<Presence>,
}

struct State<E> {
    accounts: BTreeMap<SinkId, Arc<Account<E>>>,
    /// How many of them have yet to end.
    live: usize,
    closing: bool,
    /// What those that ended before the close have to tell.
    before: Option<Before>,
    /// Why those that ended in the close fell short.
    errors: Vec<SinkError>,
    /// What the close came to, once somebody was told: everybody else is told the same.
    outcome: Option<Result<(), SinkError>>,
    /// Those that were told to give up what they have and have not ended, each with a number that
    /// grows: whoever waits may have to take over from their workers.
    aborted: Vec<(u64, SinkId, Arc<Account<E>>)>,
    aborts: u64,
    ending: WakerSet,
}

/// How those that ended before the close fell short: there may be any number of them.
struct Before {
    undelivered: u64,
    first: SinkError,
}

impl Before {
    fn to_error(&self) -> SinkError {
        let Self { undelivered, first } = self;
        if first.undelivered().unwrap_or(0) == *undelivered {
            return first.clone();
        }
        SinkError::undelivered_events(*undelivered).with_source(first.clone())
    }
}

impl<E> State<E> {
    fn outcome(&mut self) -> Result<(), SinkError> {
        let Self { before, errors, .. } = self;
        let outcome = || {
            let before = before.as_ref().map(Before::to_error);
            let errors = before.into_iter().chain(errors.iter().cloned());
            SinkError::combine(errors).map_or(Ok(()), Err)
        };
        self.outcome.get_or_insert_with(outcome).clone()
    }

    /// One has ended before the close.
    fn ended_before(&mut self, error: &SinkError) {
        let first = || Before { undelivered: 0, first: error.clone() };
        self.before.get_or_insert_with(first).undelivered += error.undelivered().unwrap_or(0);
    }
}

impl<E: Event + Clone> Roster<E> {
    pub(crate) fn new(presence: Arc<Presence>) -> Self {
        let state = State {
            accounts: BTreeMap::new(),
            live: 0,
            closing: false,
            before: None,
            errors: Vec::new(),
            outcome: None,
            aborted: Vec::new(),
            aborts: 0,
            ending: WakerSet::new(),
        };
        Self { state: Mutex::new(state), presence }
    }

    pub(crate) fn enter(&self, id: SinkId, account: Arc<Account<E>>) {
        let mut state = self.state.lock();
        state.live += 1;
        state.accounts.insert(id, account);
        drop(state);
        self.presence.join();
    }

    /// The account of sink `id` has ended. Those that end before the close leave the roster, which
    /// keeps what they have to tell.
    pub(crate) fn ended(&self, id: SinkId, outcome: &Result<(), SinkError>) {
        let account = self.state.lock().accounts.get(&id).map(Arc::clone);
        let was_stopped = account.as_ref().is_some_and(|account| account.was_stopped());
        self.presence.leave(if was_stopped { Leaves::Closed } else { Leaves::ByChoice });
        let mut state = self.state.lock();
        state.live -= 1;
        let mut left = None;
        let aborted = state.aborted.iter().position(|(_, other, _)| *other == id);
        let aborted = aborted.map(|at| state.aborted.swap_remove(at));
        if state.closing {
            state.errors.extend(outcome.clone().err());
        } else {
            left = state.accounts.remove(&id);
            if let Err(error) = outcome {
                state.ended_before(error);
            }
        }
        let ending = if state.live == 0 { Some(state.ending.take()) } else { None };
        drop(state);
        drop((account, left, aborted));
        ending.into_iter().for_each(events_core::engine::WakeList::wake);
    }

    /// The account of sink `id` gives up what it has.
    pub(crate) fn aborted(&self, id: SinkId) {
        let mut state = self.state.lock();
        let Some(account) = state.accounts.get(&id).map(Arc::clone) else { return };
        state.aborts += 1;
        let number = state.aborts;
        state.aborted.push((number, id, account));
        let waiting = state.ending.take();
        drop(state);
        waiting.wake();
    }

    /// From now on, those that end are what the close tells of.
    pub(crate) fn begin_close(&self) {
        self.state.lock().closing = true;
    }

    /// All of them.
    pub(crate) fn accounts(&self) -> Vec<(SinkId, Arc<Account<E>>)> {
        self.state.lock().accounts.iter().map(|(id, account)| (*id, Arc::clone(account))).collect()
    }

    /// Ends when all of them have.
    pub(crate) async fn end(&self) -> Result<(), SinkError> {
        let mut sleeper =
            Sleeper { roster: self, ticket: None, waits: Vec::new(), seen: 0, ends: Vec::new() };
        poll_fn(|cx| sleeper.poll(cx)).await
    }

    /// Whether waiting for all of them, here and in this poll, would wait for ever. If not, the
    /// deliveries that this is inside of wait for them until `waits` are dropped.
    fn begin_waits(&self, waits: &mut Vec<Waiting>) -> Result<(), SinkError> {
        // Most callers are neither inside a sink nor blocking one's worker.
        if !isolate::is_inside_any() && !clock::blocks_a_worker() {
            return Ok(());
        }
        let has_begun = !waits.is_empty();
        for (_, account) in self.accounts().into_iter().filter(|(_, account)| !account.has_ended())
        {
            if has_begun {
                account.check_wait()?;
            } else {
                let mut wait = None;
                account.begin_wait(&mut wait)?;
                waits.extend(wait);
            }
        }
        Ok(())
    }
}

/// One who waits for the end, until dropped.
struct Sleeper<'a, E: Event + Clone> {
    roster: &'a Roster<E>,
    ticket: Option<WakerKey>,
    /// It waits inside of other deliveries.
    waits: Vec<Waiting>,
    /// The number of the last aborted account that it has seen.
    seen: u64,
    /// The ends of those, which are waited for in a way that takes over.
    ends: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<E: Event + Clone> Sleeper<'_, E> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        // Declared before the lock, and so dropped after it.
        let waker = cx.waker().clone();
        let mut state = self.roster.state.lock();
        if state.live == 0 {
            return Poll::Ready(state.outcome());
        }
        let replaced = state.ending.register(&mut self.ticket, waker);
        let unseen = state.aborted.iter().filter(|(number, _, _)| *number > self.seen);
        let aborted: Vec<_> = unseen.map(|(_, _, account)| Arc::clone(account)).collect();
        self.seen = state.aborts;
        drop(state);
        drop(replaced);
        for account in aborted {
            // What it comes to stands in the roster.
            self.ends.push(Box::pin(async move { drop(account.end().await) }));
        }
        self.ends.retain_mut(|end| end.as_mut().poll(cx).is_pending());
        let waits = self.roster.begin_waits(&mut self.waits);
        waits.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending)
    }
}

impl<E: Event + Clone> Drop for Sleeper<'_, E> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let left = self.roster.state.lock().ending.cancel(&mut self.ticket);
            drop(left);
        }
    }
}

impl<E> fmt::Debug for Roster<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let (sinks, live) = (state.accounts.len(), state.live);
        // Nobody's formatter is called under a lock.
        drop(state);
        f.debug_struct("Roster").field("sinks", &sinks).field("live", &live).finish_non_exhaustive()
    }
}
