//! The worker's side: each event is settled, and whoever waits for that is told.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Account, Flow, State};
use crate::{
    dead_letter::DeadLetter,
    engine::{
        isolate,
        scheduler::batch::{Batch, Outcome, Undelivered},
        worker_handle::WorkerHandle,
    },
    error::{ErrorKind, SinkError},
    event::Event,
    runtime::{dispose::dispose_each, trace::tell},
};

impl<E: Event + Clone> Account<E> {
    /// Tells those who wait how far the sink has come, and looks after them.
    fn publish(&self) -> Flow {
        if self.parts.cursor.publish() { self.serve_waiters() } else { Flow::Go }
    }

    /// The sink refused these events for good; of a batch perhaps only some, which it names.
    pub(crate) fn fail(&self, events: &[E], error: &SinkError) -> Flow {
        let failures = failures(events, error);
        let count = failures.len() as u64;
        let mut given_up = false;
        let mut gone = error.kind() == ErrorKind::Closed;
        let ours = self.claim(events.len() as u64, |state| {
            given_up = state.aborted;
            if given_up {
                state.undelivered += count;
                // An abort closes what is inside, which is no news of the destination.
                gone = false;
            }
            for letter in &failures {
                state.count_failure(letter.error);
            }
            if gone {
                state.stop_by_destination();
            }
            state.writing_dead_letters += 1;
        });
        if !ours {
            return Flow::Stop;
        }
        if gone {
            self.begin_close();
            // The worker is to see that it is done, before it takes another chunk.
            self.parts.cursor.notify();
        }
        let lost = self.write_dead_letters(&failures);
        self.dead_letters_written(lost.filter(|_| !given_up));
        if gone {
            // What is behind a destination that is gone is given up, not offered to it: the worker
            // is notified, now and whenever it looks again.
            self.parts.cursor.notify();
        }
        self.publish()
    }

    /// Settles, or gives back to the backlog, what deliverer `id` was given and did not deliver as a
    /// whole: what became of each event stands in `outcomes`, and of which `kind` the error was.
    pub(crate) fn answer(
        &self,
        id: usize,
        batch: Arc<Batch<E>>,
        outcomes: Vec<Outcome>,
        kind: ErrorKind,
    ) {
        let Some(backlog) = &self.backlog else { return };
        let mut state = self.state.lock();
        if state.settled_at_end.is_some() {
            return;
        }
        let Some(answered) = backlog.answer(id, batch, outcomes) else { return };
        // An abort closes what is inside, which is no news of the destination.
        let given_up = state.aborted;
        let gone = kind == ErrorKind::Closed && !given_up;
        if given_up {
            state.undelivered += answered.failed.len() as u64;
        }
        for (_, error) in &answered.failed {
            state.count_failure(error);
        }
        if gone {
            state.stop_by_destination();
        }
        state.writing_dead_letters += 1;
        drop(state);
        dispose_each(answered.unneeded);
        if gone {
            self.begin_close();
        }
        let letters = answered.failed.iter().map(|(left, error)| Letter::of(left, error));
        let lost = self.write_dead_letters(&letters.collect::<Vec<_>>());
        dispose_each(answered.failed);
        self.dead_letters_written(lost.filter(|_| !given_up));
        if gone {
            // Whoever looks is told to stop.
            self.parts.cursor.notify();
        }
    }

    /// Drops what several deliverers have yet to deliver and the bound does not allow.
    pub(crate) fn drop_excess(&self) -> Flow {
        let cursor = &self.parts.cursor;
        let (Some(backlog), Some(bound)) = (&self.backlog, cursor.bound()) else { return Flow::Go };
        if cursor.floor() == 0 && self.feed.head().saturating_sub(cursor.reached()) <= bound {
            return Flow::Go;
        }
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        if state.settled_at_end.is_some() {
            return Flow::Stop;
        }
        let count = backlog.drop_excess(&mut dropped);
        state.skipped += count;
        drop(state);
        dispose_each(dropped);
        if count == 0 {
            return Flow::Go;
        }
        self.tell_of_lag(count);
        self.serve_waiters()
    }

    /// Whether somebody wants attention.
    pub(crate) fn is_notified(&self) -> bool {
        self.parts.cursor.is_notified()
    }

    /// Leaves out what lies further behind than the bound allows, or before `first`, where the chunk
    /// begins that the log has given out next.
    pub(crate) fn skip_lag(&self, first: u64) -> Flow {
        match self.parts.cursor.lag(self.feed.head(), first) {
            0 => Flow::Go,
            count => self.lag(count),
        }
    }

    /// The worker lags by `count` events more than its bound allows: it skips them, or ends.
    fn lag(&self, count: u64) -> Flow {
        let ours = self.claim(count, |state| {
            state.skipped += count;
            if self.parts.disconnect {
                let why = "the sink lagged too far behind and was disconnected";
                state.stopped_by = Some(SinkError::new(ErrorKind::Closed, why));
                state.disconnected = true;
            }
        });
        if !ours {
            return Flow::Stop;
        }
        if self.parts.disconnect {
            tell(|| tracing::warn!(queue = self.name(), count, "disconnected: the sink lags"));
            self.begin_close();
        } else {
            self.tell_of_lag(count);
        }
        self.publish()
    }

    fn tell_of_lag(&self, count: u64) {
        self.traces().oldest.tell(count, |count| {
            let queue = self.name();
            tracing::warn!(queue, count, "dropped the oldest events: the sink lags");
        });
    }

    /// Settles `count` events as not delivered, unless somebody else has.
    fn claim(&self, count: u64, account: impl FnOnce(&mut State<E>)) -> bool {
        let mut state = self.state.lock();
        if state.settled_at_end.is_some() {
            return false;
        }
        account(&mut state);
        self.parts.cursor.settle(count);
        true
    }

    /// Looks after all who want attention.
    pub(crate) fn serve_waiters(&self) -> Flow {
        self.parts.cursor.clear_notified();
        let mut state = self.state.lock();
        let waiting = state.flushed(self.first_unsettled());
        self.parts.cursor.notify_at(state.flush_at);
        let flow = state.flow();
        drop(state);
        waiting.wake();
        let line = self.feed.admit();
        if line || flow != Flow::Go {
            self.parts.cursor.notify();
        }
        if self.backlog.is_some() {
            self.serve_again();
        }
        flow
    }

    /// Looks once more, now that the wish for attention is known again: meanwhile another deliverer
    /// may have settled an event without hearing of it.
    fn serve_again(&self) {
        let mut state = self.state.lock();
        let waiting = state.flushed(self.first_unsettled());
        drop(state);
        waiting.wake();
        self.feed.admit();
    }

    /// From now on `worker` delivers to the sink. True if somebody wants attention: perhaps they have
    /// notified the worker before, who does not look after this account any more, so the caller is to
    /// [notify](WorkerHandle::notify) the new one.
    #[must_use]
    pub(crate) fn attach(&self, worker: &Arc<WorkerHandle<E>>) -> bool {
        let before = std::mem::replace(&mut self.state.lock().worker, Arc::clone(worker));
        drop(before);
        self.parts.cursor.is_notified()
    }

    /// Gives these events to the dead letter, each with its error. Back come those that it has not
    /// taken, if there are such.
    ///
    /// All that is called meanwhile, subscribers of traces too, is called on the worker's behalf: it
    /// would wait for itself if it waited for the worker.
    pub(super) fn write_dead_letters(&self, letters: &[Letter<'_, E>]) -> Option<Lost> {
        let first = letters.first()?;
        let worker = self.worker().id();
        isolate::inside(worker, || self.tell_and_hand_on(worker, letters, first.error))
    }

    fn tell_and_hand_on(
        &self,
        worker: usize,
        letters: &[Letter<'_, E>],
        first: &SinkError,
    ) -> Option<Lost> {
        self.traces().failed.tell(letters.len() as u64, |count| {
            let kind = first.kind();
            tracing::warn!(queue = self.name(), count, %kind, "events were not delivered");
        });
        let Some(dead_letter) = &self.parts.dead_letter else {
            return Some(Lost { count: letters.len() as u64, first: first.clone() });
        };
        let mut lost: Option<Lost> = None;
        for letter in letters {
            let refused = isolate::call(worker, || dead_letter.write(&letter.to_dead_letter()));
            if let Err(refused) = refused.and_then(|result| result) {
                let none = || Lost { count: 0, first: letter.error.clone() };
                lost.get_or_insert_with(none).count += 1;
                self.traces().refused.tell(1, |count| {
                    let kind = refused.kind();
                    tracing::error!(queue = self.name(), count, %kind, "dead letters were refused");
                });
            }
        }
        lost
    }
}

impl<E> Account<E> {
    pub(super) fn worker(&self) -> Arc<WorkerHandle<E>> {
        Arc::clone(&self.state.lock().worker)
    }

    /// The first event that is not settled; where several deliver at a time, others after it may be.
    pub(super) fn first_unsettled(&self) -> u64 {
        let by_cursor = || self.parts.cursor.reached();
        self.backlog.as_ref().map_or_else(by_cursor, |backlog| backlog.first_unsettled())
    }

    /// Whether its worker blocks a thread.
    pub(crate) const fn blocks(&self) -> bool {
        !self.parts.driven_by_future
    }
}

impl<E> State<E> {
    /// Counts an event that was not delivered because of this.
    fn count_failure(&mut self, error: &SinkError) {
        let given_up = matches!(error.kind(), ErrorKind::Closed | ErrorKind::Undelivered);
        if self.aborted && given_up {
            self.abandoned += 1;
        } else {
            self.failed += 1;
        }
    }

    fn stop_by_destination(&mut self) {
        let why = "the destination closed before its queue did";
        self.stopped_by = Some(SinkError::new(ErrorKind::Closed, why));
    }
}

/// Events that were not delivered and that no dead letter has taken.
pub(super) struct Lost {
    pub(super) count: u64,
    /// Why the first of them was not delivered.
    pub(super) first: SinkError,
}

/// An event that will not be delivered, and what its dead letter tells of it.
pub(super) struct Letter<'a, E> {
    event: &'a E,
    error: &'a SinkError,
    attempts: u32,
    /// How long ago it failed for the first time, if it has.
    first_failure: Option<Duration>,
}

impl<'a, E> Letter<'a, E> {
    /// Events that were given up before the sink was offered them, or while it was.
    pub(super) fn never_offered(events: &'a [E], error: &'a SinkError) -> Vec<Self> {
        let letter = |event| Self { event, error, attempts: 0, first_failure: None };
        events.iter().map(letter).collect()
    }

    pub(super) fn of(left: &'a Undelivered<E>, error: &'a SinkError) -> Self {
        let Undelivered { event, attempts, first_failure } = left;
        Self { event, error, attempts: *attempts, first_failure: *first_failure }
    }

    fn to_dead_letter(&self) -> DeadLetter<E>
    where
        E: Clone,
    {
        let mut letter = DeadLetter::new(self.event.clone(), self.error.clone());
        letter.attempts = self.attempts;
        let now = SystemTime::now();
        letter.first_failure = self.first_failure.and_then(|ago| now.checked_sub(ago));
        letter
    }
}

/// The events that failed, each with its error: those that the error names, if it names any.
fn failures<'a, E>(events: &'a [E], error: &'a SinkError) -> Vec<Letter<'a, E>> {
    let failed =
        |event, error| Letter { event, error, attempts: 1, first_failure: Some(Duration::ZERO) };
    let named = error.failures();
    // A position beyond the events is a mistake of the sink's: then none of them can be trusted.
    if named.is_empty() || named.iter().any(|(at, _)| *at >= events.len()) {
        return events.iter().map(|event| failed(event, error)).collect();
    }
    named.iter().map(|(at, error)| failed(&events[*at], error)).collect()
}
