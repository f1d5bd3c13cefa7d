//! The handle's side: flush, close and abort, and the end of the account.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Account, State, settling::failures};
use crate::{
    closing::Closing,
    engine::{feed::Chunk, isolate, waker_set::WakerKey, worker_handle::WorkerHandle},
    error::{ErrorKind, SinkError},
    event::Event,
    runtime::clock,
};

/// How long a worker has after an abort before the closer takes over what it holds.
const GRACE: Duration = Duration::from_millis(100);
/// How long an aborted sink has to close before the closer goes on without it.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

impl<E: Event + Clone> Account<E> {
    /// Whether waiting for this account, here and in this poll, would wait for ever.
    ///
    /// # Errors
    /// `WouldDeadlock`, which says why.
    pub fn check_wait(&self) -> Result<(), SinkError> {
        self.check_wait_at(&self.worker())
    }

    fn check_wait_at(&self, worker: &WorkerHandle<E>) -> Result<(), SinkError> {
        if isolate::is_inside(worker.id()) {
            return Err(SinkError::would_deadlock(
                "this is called from inside a sink that the same worker delivers to; \
                 close or flush without waiting, or wait elsewhere",
            ));
        }
        if self.parts.driven_by_future && clock::blocks_a_runtime() {
            return Err(SinkError::would_deadlock(
                "the worker is a task of this async runtime, which a blocking wait may starve; \
                 `.await` instead",
            ));
        }
        Ok(())
    }

    /// Ends once all that was written before is settled.
    pub fn flush(&self) -> Closing<'_> {
        let head = self.feed.head();
        self.feed.hurry();
        Closing::new(self.flush_to(head))
    }

    /// Ends once all before sequence number `head` of the feed is settled. It hurries nobody.
    ///
    /// # Errors
    /// Those of a [`flush`](Self::flush).
    pub async fn flush_to(&self, head: u64) -> Result<(), SinkError> {
        match self.flushed(head.min(self.parts.cursor.stop())).await {
            Some(result) => result,
            // What was given up is settled by the end at the latest.
            None => self.end().await,
        }
    }

    /// Ends once all before `target` is settled; with `None` if that may take until the end.
    async fn flushed(&self, target: u64) -> Option<Result<(), SinkError>> {
        let mut sleeper = Sleeper::new(self);
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(Some(outcome.clone()));
            }
            let done = |state: &State<E>| {
                self.parts.cursor.reached() >= target && state.writing_dead_letters == 0
            };
            if done(&state) {
                return Poll::Ready(Some(Ok(())));
            }
            if state.aborted {
                return Poll::Ready(None);
            }
            if let Err(error) = self.check_wait_at(&state.worker) {
                return Poll::Ready(Some(Err(error)));
            }
            state.flush_at = state.flush_at.min(target);
            let replaced = sleeper.register(&mut state, cx);
            // The worker may have come that far before it could see the flag.
            self.parts.cursor.notify();
            let is_done = done(&state);
            drop(state);
            drop(replaced);
            if is_done { Poll::Ready(Some(Ok(()))) } else { Poll::Pending }
        })
        .await
    }

    /// Takes no more events, delivers what was accepted, closes the sink. Waiting is up to the
    /// [`Closing`].
    pub fn close(&self) -> Closing<'_> {
        self.begin_close();
        Closing::new(self.end())
    }

    /// The same, but at the end of `limit` what is left is given up: see [`abort`](Self::abort).
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.begin_close();
        let deadline = clock::sleep(limit);
        Closing::new(async move {
            if let Some(outcome) = clock::before(self.end(), deadline).await {
                return outcome;
            }
            tracing::warn!(queue = self.name(), "the close ran into its deadline");
            self.abort();
            self.end().await
        })
    }

    /// Takes no more events. The worker delivers those it has, closes the sink and ends.
    pub fn begin_close(&self) {
        if self.parts.owns_feed {
            self.feed.close();
        } else {
            let state = self.state.lock();
            // Under the lock, so that it agrees with what the account says.
            self.parts.cursor.stop_at(self.feed.head());
            drop(state);
            self.notify();
        }
    }

    /// Takes no more events and gives up those it has.
    pub fn abort(&self) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        state.aborted = true;
        let waiting = state.waiting.take();
        let worker = Arc::clone(&state.worker);
        drop(state);
        // Afterwards, or a worker that has nothing to do could end before the sink is told.
        self.begin_close();
        if let Err(panicked) = isolate::call(worker.id(), || self.parts.sink.abort()) {
            let error = &panicked as &dyn std::error::Error;
            tracing::error!(queue = self.name(), error, "the sink panicked when aborted");
        }
        waiting.wake();
        self.notify();
    }

    /// Has the worker look after this account, even if it sleeps.
    fn notify(&self) {
        self.parts.cursor.notify();
        self.worker().notify();
    }

    /// The end of the worker, or of the patience with it.
    pub async fn end(&self) -> Result<(), SinkError> {
        if let Some(outcome) = clock::before(self.outcome(), self.grace()).await {
            return outcome;
        }
        self.give_up_rest("the sink did not answer before the deadline");
        // The worker may be stuck inside the sink, so the sink is closed from here.
        let closing = isolate::close(self.worker().id(), &*self.parts.sink);
        let closed = clock::before(closing, clock::sleep(CLOSE_GRACE)).await;
        let closed = closed.unwrap_or_else(|| {
            Err(SinkError::new(ErrorKind::Unavailable, "the sink did not close in time"))
        });
        self.finish(closed.err());
        // The worker may still wait for the sink: it is to stop.
        self.notify();
        self.outcome().await
    }

    /// The result, once there is one.
    async fn outcome(&self) -> Result<(), SinkError> {
        let mut sleeper = Sleeper::new(self);
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone());
            }
            if let Err(error) = self.check_wait_at(&state.worker) {
                return Poll::Ready(Err(error));
            }
            let replaced = sleeper.register(&mut state, cx);
            drop(state);
            drop(replaced);
            Poll::Pending
        })
        .await
    }

    /// Ends a moment after an abort; never without one.
    async fn grace(&self) {
        // Whoever aborts wakes those who wait for the outcome, which this is polled along with.
        poll_fn(|_| if self.state.lock().aborted { Poll::Ready(()) } else { Poll::Pending }).await;
        clock::sleep(GRACE).await;
    }

    /// Closes the sink.
    pub(crate) async fn close_sink(&self) -> Result<(), SinkError> {
        self.parts.sink.close().await
    }

    /// Whether a closer has ended the account while the worker waits inside the sink. Otherwise the
    /// worker is woken when that happens.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        // In this order: whoever ends the account calls at the worker afterwards.
        self.worker().register(cx.waker());
        if self.has_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Settles all that is left as not delivered and hands it on, the first time it is called.
    /// Afterwards the worker's answers are ignored.
    pub(crate) fn give_up_rest(&self, why: &'static str) {
        let mut state = self.state.lock();
        if state.settled_at_end.is_some() {
            return;
        }
        if self.parts.cursor.reached() >= self.end_of_account() {
            state.settled_at_end = Some(self.parts.cursor.reached());
            return;
        }
        let rest = self.rest(&state);
        let count = rest.count();
        let failed = state.stopped_by.is_some() && !self.parts.disconnect;
        if failed {
            state.failed += count;
        } else {
            state.abandoned += count;
        }
        // A destination that an abort has closed was given up all the same.
        if !failed || state.aborted {
            state.undelivered += count;
        }
        state.skipped += rest.end - rest.reached - count;
        state.settled_at_end = Some(rest.end);
        state.writing_dead_letters += 1;
        let error = state.stopped_by.clone();
        let error = error.unwrap_or_else(|| SinkError::new(ErrorKind::Undelivered, why));
        let waiting = state.waiting.take();
        drop(state);
        for (chunk, from, to) in rest.parts {
            if from < to {
                self.write_dead_letters(&failures(
                    &chunk.from(from)[..(to - from) as usize],
                    &error,
                ));
            }
        }
        self.dead_letters_written();
        waiting.wake();
        self.notify();
    }

    /// Where the account ends, or would if it ended now.
    fn end_of_account(&self) -> u64 {
        self.feed.head().min(self.parts.cursor.stop())
    }

    /// What lies between where the sink has come and where the account ends.
    fn rest(&self, state: &State<E>) -> Rest<E> {
        let end = self.end_of_account();
        // In this order, since a worker that is not stuck after all moves on meanwhile: a chunk that
        // it takes from the log now is found in `log`, one that it had before at its worker.
        let log = self.feed.from(self.parts.cursor.reached());
        let current = state.worker.current();
        let reached = self.parts.cursor.reached();
        let end = end.max(reached);
        // What the sink holds is no part of the lag.
        let held = match &current {
            Some(chunk) if chunk.end() > reached => {
                chunk.end().min(reached + self.parts.span).min(end)
            }
            _ => reached,
        };
        let lagging = self.parts.cursor.bound().map_or(0, |bound| end.saturating_sub(bound));
        let mut rest = Rest { reached, end, parts: Vec::new() };
        let mut next = held.max(lagging);
        if let Some(chunk) = current {
            rest.add(Arc::clone(&chunk), reached, held);
            next = next.max(rest.add(chunk, next, end));
        }
        for chunk in log {
            next = next.max(rest.add(chunk, next, end));
        }
        rest
    }

    /// One of those who hand events over is done; the last one ends what has waited for it.
    pub(super) fn dead_letters_written(&self) {
        let mut state = self.state.lock();
        state.writing_dead_letters -= 1;
        let finishing = if state.writing_dead_letters == 0 { state.finishing.take() } else { None };
        drop(state);
        if let Some(closed) = finishing {
            self.finish(closed.err());
        }
    }

    /// Records the end, the first time it is called, and tells everybody.
    pub(crate) fn finish(&self, close_error: Option<SinkError>) {
        let mut state = self.state.lock();
        if state.writing_dead_letters > 0 {
            // Nobody is told of the end before every dead letter is where it belongs.
            state.finishing.get_or_insert(close_error.map_or(Ok(()), Err));
            return;
        }
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        let undelivered =
            (state.undelivered > 0).then(|| SinkError::undelivered_events(state.undelivered));
        let gone = state.stopped_by.clone();
        let error = SinkError::combine([undelivered, gone, close_error].into_iter().flatten());
        drop(state);
        let outcome = error.map_or(Ok(()), Err);
        if self.parts.owns_feed {
            self.feed.close();
        }
        // Before the closers hear of it, so that they find everything done.
        if let Some(on_end) = &self.parts.on_end {
            on_end(&outcome);
        }
        let mut state = self.state.lock();
        state.outcome = Some(outcome);
        let waiting = state.waiting.take();
        drop(state);
        waiting.wake();
    }

    /// The worker is gone, perhaps before its end.
    pub(crate) fn worker_dropped(&self) {
        if self.has_ended() {
            return;
        }
        self.begin_close();
        self.give_up_rest("the worker was dropped");
        // Begins the close; there is nobody left to wait for it.
        let in_hand = isolate::call(self.worker().id(), || drop(self.parts.sink.close()));
        let dropped = SinkError::new(ErrorKind::Closed, "the worker was dropped");
        self.finish(SinkError::combine([dropped].into_iter().chain(in_hand.err())));
    }
}

/// The events that will not be delivered.
struct Rest<E> {
    /// How far the worker had come. It may settle more meanwhile, which is ignored.
    reached: u64,
    end: u64,
    /// Runs of events, some empty: the chunk, and the sequence numbers from and to which. It holds
    /// every chunk looked at, so that none is dropped under a lock.
    parts: Vec<(Arc<Chunk<E>>, u64, u64)>,
}

impl<E> Rest<E> {
    /// Adds what `chunk` holds from sequence number `from` up to `to`; where it ends.
    fn add(&mut self, chunk: Arc<Chunk<E>>, from: u64, to: u64) -> u64 {
        let end = chunk.end();
        self.parts.push((chunk, from, to.min(end)));
        end
    }

    fn count(&self) -> u64 {
        self.parts.iter().map(|(_, from, to)| to.saturating_sub(*from)).sum()
    }
}

/// A place among those who wait for an account, left when dropped.
struct Sleeper<'a, E> {
    account: &'a Account<E>,
    ticket: Option<WakerKey>,
}

impl<'a, E> Sleeper<'a, E> {
    const fn new(account: &'a Account<E>) -> Self {
        Self { account, ticket: None }
    }

    fn register(&mut self, state: &mut State<E>, cx: &Context<'_>) -> Option<Waker> {
        state.waiting.register(&mut self.ticket, cx.waker())
    }
}

impl<E> Drop for Sleeper<'_, E> {
    fn drop(&mut self) {
        if self.ticket.is_some() {
            let mut state = self.account.state.lock();
            let left = state.waiting.cancel(&mut self.ticket);
            drop(state);
            drop(left);
        }
    }
}
