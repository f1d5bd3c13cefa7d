//! The handle's side: flush, close and abort, and the end of the account.

use std::{
    future::poll_fn,
    ops::Range,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    Account, Flow, State,
    settling::{Letter, Lost},
};
use smallvec::SmallVec;

use crate::{
    closing::Closing,
    engine::{
        feed::Chunk,
        isolate,
        scheduler::{
            backlog::{Backlog, Mode},
            state,
        },
        waits::Waiting,
        waker_set::WakerKey,
        worker_handle::WorkerHandle,
    },
    error::{ErrorKind, SinkError},
    event::Event,
    runtime::{clock, dispose::dispose_each, trace::tell},
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
        if self.parts.driven_by_future && clock::blocks_a_worker() {
            return Err(SinkError::would_deadlock(
                "the worker is a task of an async runtime, which this blocking wait may starve; \
                 `.await` instead, or wait in `spawn_blocking`",
            ));
        }
        Ok(())
    }

    /// The same, for a wait without an end of its own: if this is inside of other deliveries, they wait
    /// for this account until `wait` is dropped.
    ///
    /// # Errors
    /// `WouldDeadlock`, also if the account waits for one of them, directly or by way of others.
    pub fn begin_wait(&self, wait: &mut Option<Waiting>) -> Result<(), SinkError> {
        self.begin_wait_at(&self.worker(), wait)
    }

    fn begin_wait_at(
        &self,
        worker: &WorkerHandle<E>,
        wait: &mut Option<Waiting>,
    ) -> Result<(), SinkError> {
        self.check_wait_at(worker)?;
        if wait.is_none() && isolate::is_inside_any() {
            *wait = Some(Waiting::begin(worker.id())?);
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
            // Declared before the lock, and so dropped after it.
            let waker = cx.waker().clone();
            let mut state = self.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(Some(outcome.clone()));
            }
            let done = |state: &State<E>| {
                self.first_unsettled() >= target && state.writing_dead_letters == 0
            };
            if done(&state) {
                return Poll::Ready(Some(Ok(())));
            }
            if state.aborted {
                return Poll::Ready(None);
            }
            if let Err(error) = self.begin_wait_at(&state.worker, &mut sleeper.wait) {
                return Poll::Ready(Some(Err(error)));
            }
            state.flush_at = state.flush_at.min(target);
            let replaced = sleeper.register(&mut state, waker);
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
            tell(|| tracing::warn!(queue = self.name(), "the close ran into its deadline"));
            self.abort();
            self.end().await
        })
    }

    /// Takes no more events. The worker delivers those it has, closes the sink and ends.
    pub fn begin_close(&self) {
        if self.parts.owns_feed {
            self.feed.close();
            match &self.backlog {
                Some(backlog) => backlog.close(),
                // What was accepted is delivered.
                None => self.resume(),
            }
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
            tell(|| tracing::error!(queue = self.name(), error, "the sink panicked when aborted"));
        }
        waiting.wake();
        self.notify();
        if let Some(on_abort) = &self.parts.on_abort {
            on_abort();
        }
    }

    /// Has nothing more delivered until [`resume`](Self::resume), or a close.
    pub fn pause(&self) {
        if self.feed.is_closed() {
            return;
        }
        match &self.backlog {
            Some(backlog) => backlog.pause(),
            None => self.state.lock().paused = true,
        }
        self.parts.cursor.notify();
    }

    /// Delivers again after a pause.
    pub fn resume(&self) {
        if let Some(backlog) = &self.backlog {
            return backlog.leave_mode(Mode::Paused);
        }
        let was_paused = std::mem::take(&mut self.state.lock().paused);
        if was_paused {
            self.notify();
        }
    }

    /// Ends when nothing keeps the worker from delivering any more.
    pub(crate) async fn resumed(&self) {
        poll_fn(|cx| {
            // In this order: whoever resumes notifies the worker afterwards.
            self.worker().register(cx.waker());
            let flow = self.state.lock().flow();
            if flow == Flow::Pause { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Has the worker look after this account, even if it sleeps.
    fn notify(&self) {
        self.parts.cursor.notify();
        match &self.backlog {
            Some(backlog) => backlog.notify(),
            None => self.worker().notify(),
        }
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
            let waker = cx.waker().clone();
            let mut state = self.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone());
            }
            if let Err(error) = self.begin_wait_at(&state.worker, &mut sleeper.wait) {
                return Poll::Ready(Err(error));
            }
            let replaced = sleeper.register(&mut state, waker);
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
        // In this order: whoever ends the account notifies the worker afterwards.
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
        let reached = self.parts.cursor.reached();
        if reached >= self.feed.head().min(self.parts.cursor.stop()) {
            state.settled_at_end = Some(reached);
            return;
        }
        let rest = match &self.backlog {
            Some(backlog) => self.rest_of(backlog),
            None => self.rest(&state),
        };
        let count = rest.count;
        let failed = state.stopped_by.is_some() && !state.disconnected;
        if failed {
            state.failed += count;
        } else {
            state.abandoned += count;
        }
        // A destination that an abort has closed was given up all the same.
        let given_up = !failed || state.aborted;
        if given_up {
            state.undelivered += count;
        }
        state.skipped += rest.skipped();
        state.settled_at_end = Some(rest.end);
        state.writing_dead_letters += 1;
        let error = state.stopped_by.clone();
        let error = error.unwrap_or_else(|| SinkError::new(ErrorKind::Undelivered, why));
        let waiting = state.waiting.take();
        drop(state);
        let mut lost = Vec::new();
        for (chunk, range) in rest.runs {
            lost.extend(
                self.write_dead_letters(&Letter::never_offered(chunk.range(range), &error)),
            );
        }
        if let Some(taken) = rest.taken {
            let held = taken.events.iter().map(|left| Letter::of(left, &error));
            lost.extend(self.write_dead_letters(&held.collect::<Vec<_>>()));
            for batch in &taken.delivering {
                let letters = Letter::never_offered(&batch.events, &error);
                lost.extend(self.write_dead_letters(&letters));
            }
            dispose_each(taken.dropped);
            dispose_each(taken.events);
        }
        self.dead_letters_written(lost.into_iter().filter(|_| !given_up));
        waiting.wake();
        self.notify();
    }

    /// What lies between where the sink has come and where the account ends.
    fn rest(&self, state: &State<E>) -> Rest<E> {
        let cursor = &*self.parts.cursor;
        let head = self.feed.head();
        // In this order, since a worker that is not stuck after all moves on meanwhile: a chunk that
        // it takes from the log now is found in `log`, one that it had before in its handle.
        let log = self.feed.from(cursor.reached());
        let current = state.worker.current();
        let reached = cursor.reached();
        let end = head.min(cursor.stop()).max(reached);
        let mut rest = Rest::new(reached, end);
        // What the sink holds is no part of the lag. It holds nothing of a chunk that begins beyond
        // `reached`: the worker has yet to skip what lies before.
        let is_delivering = current.is_some();
        let chunks: Vec<_> = current.into_iter().chain(log).collect();
        let in_hand = chunks.iter().find(|chunk| chunk.first() <= reached && reached < chunk.end());
        let mut next = reached;
        if let Some(chunk) = in_hand.filter(|_| is_delivering) {
            next = rest.add(chunk, reached..reached.saturating_add(self.parts.span));
        }
        next += cursor.lag_at(next, head);
        for chunk in &chunks {
            next = next.max(rest.add(chunk, next..end));
        }
        rest.chunks = chunks;
        rest
    }

    /// The same, where several deliver at a time.
    fn rest_of(&self, backlog: &Backlog<E>) -> Rest<E> {
        let mut dropped = Vec::new();
        let head = self.feed.head();
        let mut rest = Rest::new(self.parts.cursor.reached(), head);
        backlog.drop_excess(&mut dropped);
        // Each that is delivered meanwhile is counted before it leaves the backlog.
        let mut taken = backlog.give_up();
        let left = head - self.parts.cursor.reached();
        for (chunk, first) in std::mem::take(&mut taken.chunks) {
            rest.add(&chunk, first..head);
            rest.chunks.push(chunk);
        }
        rest.count = left;
        taken.dropped = dropped;
        rest.taken = Some(taken);
        rest
    }

    /// One of those who hand events over is done, and these are `lost`; the last one ends what has
    /// waited for it.
    pub(super) fn dead_letters_written(&self, lost: impl IntoIterator<Item = Lost>) {
        // Declared before the lock, and so dropped after it.
        let lost: SmallVec<[Lost; 1]> = lost.into_iter().collect();
        let mut state = self.state.lock();
        for Lost { count, first } in &lost {
            state.undelivered += count;
            state.first_lost.get_or_insert_with(|| first.clone());
        }
        state.writing_dead_letters -= 1;
        let finishing = if state.writing_dead_letters == 0 { state.finishing.take() } else { None };
        drop(state);
        if let Some(closed) = finishing {
            self.finish(closed.err());
        }
    }

    /// Records the end, the first time it is called, and tells everybody.
    pub(crate) fn finish(&self, close_error: Option<SinkError>) {
        // Declared before the lock: an error that is not needed is dropped after it.
        let closed = close_error.clone().map_or(Ok(()), Err);
        let mut state = self.state.lock();
        if state.writing_dead_letters > 0 {
            // Nobody is told of the end before every dead letter is where it belongs.
            if state.finishing.is_none() {
                state.finishing = Some(closed);
            }
            return;
        }
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        let undelivered = (state.undelivered > 0).then(|| {
            let error = SinkError::undelivered_events(state.undelivered);
            match state.first_lost.clone() {
                Some(first) => error.with_source(first),
                None => error,
            }
        });
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
        // After all is given up, so that what it had counts as given up and not as refused.
        self.state.lock().stopped_by.get_or_insert(dropped);
        self.finish(in_hand.err());
    }
}

/// The events that will not be delivered.
struct Rest<E> {
    /// How far the worker had come. It may settle more meanwhile, which is ignored.
    reached: u64,
    end: u64,
    /// How many events there are in `runs`.
    count: u64,
    /// Runs of events, none twice: the chunk, and the sequence numbers of those that lie in it.
    runs: Vec<(Arc<Chunk<E>>, Range<u64>)>,
    /// Every chunk looked at, so that none is dropped under a lock.
    chunks: Vec<Arc<Chunk<E>>>,
    /// Those that several deliverers had taken from the log.
    taken: Option<state::Rest<E>>,
}

impl<E> Rest<E> {
    fn new(reached: u64, end: u64) -> Self {
        Self { reached, end, count: 0, runs: Vec::new(), chunks: Vec::new(), taken: None }
    }

    /// Adds those events in `range` that `chunk` holds and that are part of the account; where the
    /// next may begin.
    fn add(&mut self, chunk: &Arc<Chunk<E>>, range: Range<u64>) -> u64 {
        let run = range.start.max(chunk.first())..range.end.min(chunk.end()).min(self.end);
        if run.is_empty() {
            return range.start;
        }
        let end = run.end;
        self.count += end - run.start;
        self.runs.push((Arc::clone(chunk), run));
        end
    }

    /// How many events of the account are not in `runs`, since they lie too far behind.
    const fn skipped(&self) -> u64 {
        self.end - self.reached - self.count
    }
}

/// A place among those who wait for an account, left when dropped.
struct Sleeper<'a, E> {
    account: &'a Account<E>,
    ticket: Option<WakerKey>,
    /// It waits inside of other deliveries.
    wait: Option<Waiting>,
}

impl<'a, E> Sleeper<'a, E> {
    const fn new(account: &'a Account<E>) -> Self {
        Self { account, ticket: None, wait: None }
    }

    fn register(&mut self, state: &mut State<E>, waker: Waker) -> Option<Waker> {
        state.waiting.register(&mut self.ticket, waker)
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
