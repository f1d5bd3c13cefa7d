use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use crate::{
    Close, Closing, DeadLetter, Dropped, ErrorKind, Event, Position, Sink, SinkError, Sleepers,
    Stats, Waiters, clock,
    feed::{Chunk, Feed, Reader},
    isolate,
    sync::{AtomicU64, Mutex, Ordering},
};

/// How long a worker has after an abort before the closer takes over what it holds.
const GRACE: Duration = Duration::from_millis(100);
/// How long an aborted sink has to close before the closer goes on without it.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// One reader of a feed with the sink it delivers to: the account of its events, and their end.
///
/// Shared by the [`Worker`](crate::Worker) that delivers and the handles that flush, close and
/// look. Every event is settled exactly once, by the worker or by the closer that takes over from
/// a worker that is stuck; who settles it is decided under one lock, and only a success, the common
/// case, does without.
pub struct Outlet<E> {
    feed: Arc<Feed<E>>,
    /// Whether the feed ends with this outlet: a queue's does, a broadcaster's does not.
    owns_feed: bool,
    /// The sequence number of the first event of its account.
    start: u64,
    bound: Option<u64>,
    /// How many events are in the sink's hands at once, at most.
    span: u64,
    position: Arc<Position>,
    /// Where the account ends: only what lies before is to be delivered. Written under the lock.
    stop: AtomicU64,
    sink: Arc<dyn Close>,
    dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
    name: Arc<str>,
    /// Whether a future drives the worker, which a blocked runtime would starve.
    driven_by_future: bool,
    state: Mutex<State<E>>,
}

struct State<E> {
    failed: u64,
    /// Events skipped by the worker because it lagged.
    skipped: u64,
    /// Events accepted only to be dropped at once, never in the feed.
    unwritten: u64,
    abandoned: u64,
    /// Events not delivered since the abort: what the close will tell.
    undelivered: u64,
    /// The chunk that the worker is in.
    current: Option<Arc<Chunk<E>>>,
    /// The lowest position that a flush waits for.
    flush_at: u64,
    flushing: Waiters,
    /// Whether settled events are still on their way to the dead letter.
    handing_over: bool,
    aborted: bool,
    /// The destination said that it is closed.
    gone: bool,
    /// How many events are settled, once a closer has taken over.
    taken: Option<u64>,
    worker: Option<Waker>,
    outcome: Option<Result<(), SinkError>>,
    ending: Waiters,
}

/// What a worker is to do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on with the next.
    Go,
    /// Deliver nothing more.
    Stop,
}

/// What a new [`Outlet`] is made of.
pub struct OutletParts<E> {
    /// The sink, to close and abort; the worker has it for writing.
    pub sink: Arc<dyn Close>,
    /// Who gets what will not be delivered.
    pub dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
    /// What to call it in traces.
    pub name: Arc<str>,
    /// Whether the feed closes when the sink is gone or a close is asked for.
    pub owns_feed: bool,
    /// Whether the worker is a future rather than a thread.
    pub driven_by_future: bool,
    /// How many events the sink is given at once, at most.
    pub span: u64,
    /// The position that the worker advances: the one that bounds the feed, if it is bounded.
    pub position: Arc<Position>,
}

impl<E: Event + Clone> Outlet<E> {
    /// The outlet for `reader`, from where it stands.
    pub fn new(reader: &Reader<E>, parts: OutletParts<E>) -> Self {
        Self {
            feed: Arc::clone(reader.feed()),
            owns_feed: parts.owns_feed,
            start: reader.at(),
            bound: reader.bound(),
            span: parts.span,
            position: parts.position,
            stop: AtomicU64::new(u64::MAX),
            sink: parts.sink,
            dead_letter: parts.dead_letter,
            name: parts.name,
            driven_by_future: parts.driven_by_future,
            state: Mutex::new(State {
                failed: 0,
                skipped: 0,
                unwritten: 0,
                abandoned: 0,
                undelivered: 0,
                current: None,
                flush_at: u64::MAX,
                flushing: Waiters::new(),
                handing_over: false,
                aborted: false,
                gone: false,
                taken: None,
                worker: None,
                outcome: None,
                ending: Waiters::new(),
            }),
        }
    }

    /// The feed it reads.
    pub fn feed(&self) -> &Arc<Feed<E>> {
        &self.feed
    }

    /// What to call it in traces.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names this outlet's deliveries: see [`isolate`].
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// A snapshot of the account.
    pub fn stats(&self) -> Stats {
        let state = self.state.lock();
        let settled = state.taken.unwrap_or_else(|| self.position.settled());
        // Read after what is settled, so that it cannot lie before.
        let end = self.feed.head().min(self.stop()).max(settled);
        let mut pending = end - settled;
        let mut overflow = state.skipped;
        // What the worker will skip as soon as it looks, is dropped already.
        if let Some(bound) = self.bound {
            let in_hand = if state.current.is_some() { self.span } else { 0 };
            let lag = pending.saturating_sub(bound.saturating_add(in_hand));
            pending -= lag;
            overflow += lag;
        }
        let oldest = (pending > 0).then(|| {
            let current = state.current.as_ref().filter(|chunk| chunk.end() > settled);
            current.map(|chunk| chunk.since()).or_else(|| self.feed.since(settled))
        });
        Stats {
            accepted: end - self.start + state.unwritten,
            delivered: settled - self.start - state.failed - state.skipped - state.abandoned,
            failed: state.failed,
            dropped: Dropped { overflow: overflow + state.unwritten, abandoned: state.abandoned },
            pending,
            oldest: oldest.flatten().map(|since| clock::now().saturating_duration_since(since)),
        }
    }

    /// Counts an event as accepted and dropped that was never put into the feed.
    pub fn drop_unwritten(&self) {
        self.state.lock().unwritten += 1;
        tracing::warn!(queue = &*self.name, "dropped the newest event: the queue is full");
    }

    /// Whether waiting for this outlet, here and in this poll, would wait for ever.
    ///
    /// # Errors
    /// `WouldDeadlock`, which says why.
    pub fn check_wait(&self) -> Result<(), SinkError> {
        if isolate::is_inside(self.id()) {
            return Err(SinkError::would_deadlock(
                "this is called from inside the sink that the queue is delivering to; \
                 close or flush without waiting, or wait elsewhere",
            ));
        }
        if self.driven_by_future && clock::blocks_a_runtime() {
            return Err(SinkError::would_deadlock(
                "the queue's worker is a task of this async runtime, which a blocking wait may \
                 starve; `.await` instead",
            ));
        }
        Ok(())
    }

    /// Ends once all that was written before is settled.
    pub fn flush(&self) -> Closing<'_> {
        let target = self.feed.head();
        let mut ticket = None;
        self.feed.hurry();
        Closing::new(poll_fn(move |cx| {
            let mut state = self.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone());
            }
            if self.position.settled() >= target && !state.handing_over {
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = self.check_wait() {
                return Poll::Ready(Err(error));
            }
            state.flush_at = state.flush_at.min(target);
            state.flushing.register(&mut ticket, cx.waker());
            // The worker may have come that far before it could see the flag.
            if self.position.call() < target || state.handing_over {
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        }))
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
            if let Some(outcome) = before(self.end(), deadline).await {
                return outcome;
            }
            tracing::warn!(queue = &*self.name, "the close ran into its deadline");
            self.abort();
            self.end().await
        })
    }

    /// Takes no more events. The worker delivers those it has, closes the sink and ends.
    pub fn begin_close(&self) {
        if self.owns_feed {
            self.feed.close();
        } else {
            let mut state = self.state.lock();
            // Under the lock, so that it agrees with what the account says.
            self.stop.fetch_min(self.feed.head(), Ordering::AcqRel);
            let worker = state.worker.take();
            drop(state);
            self.position.call();
            worker.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes no more events and gives up those it has.
    pub fn abort(&self) {
        self.begin_close();
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        state.aborted = true;
        let ending = state.ending.take();
        let worker = state.worker.take();
        drop(state);
        self.position.call();
        if let Err(panicked) = isolate::call(self.id(), || self.sink.abort()) {
            tracing::error!(queue = &*self.name, error = &panicked as &dyn std::error::Error);
        }
        ending.wake();
        worker.into_iter().for_each(Waker::wake);
    }

    /// The end of the worker, or of the patience with it.
    async fn end(&self) -> Result<(), SinkError> {
        if let Some(outcome) = before(self.outcome(), self.grace()).await {
            return outcome;
        }
        self.take_over("the sink did not answer before the deadline");
        // The worker may be stuck inside the sink, so the sink is closed from here.
        let closed = before(self.close_sink(), clock::sleep(CLOSE_GRACE)).await;
        let closed = closed.unwrap_or_else(|| {
            Err(SinkError::new(ErrorKind::Unavailable, "the sink did not close in time"))
        });
        self.finish(closed.err());
        self.outcome().await
    }

    /// The result, once there is one.
    async fn outcome(&self) -> Result<(), SinkError> {
        let mut ticket = None;
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if let Some(outcome) = &state.outcome {
                return Poll::Ready(outcome.clone());
            }
            if let Err(error) = self.check_wait() {
                return Poll::Ready(Err(error));
            }
            state.ending.register(&mut ticket, cx.waker());
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

    /// Closes the sink; a panic becomes an error.
    pub(crate) async fn close_sink(&self) -> Result<(), SinkError> {
        let mut closing = isolate::call(self.id(), || self.sink.close())?;
        poll_fn(|cx| {
            isolate::call(self.id(), || pin!(&mut closing).poll(cx))
                .unwrap_or_else(|panicked| Poll::Ready(Err(panicked)))
        })
        .await
    }
}

/// The worker's side.
impl<E: Event + Clone> Outlet<E> {
    /// The worker is in `chunk` now.
    pub(crate) fn enter(&self, chunk: &Arc<Chunk<E>>) -> Flow {
        let mut state = self.state.lock();
        state.current = Some(Arc::clone(chunk));
        state.flow()
    }

    /// The sink has committed `count` more events.
    pub fn settle(&self, count: u64) -> Flow {
        if self.position.advance(count) { self.attend() } else { Flow::Go }
    }

    /// The sink refused these events for good.
    pub fn fail(&self, events: &[E], error: &SinkError) -> Flow {
        let count = events.len() as u64;
        self.give_up(events, error, |state| {
            state.failed += count;
            if state.aborted {
                state.undelivered += count;
            }
            if error.kind() == ErrorKind::Closed {
                state.gone = true;
            }
        })
    }

    /// These events are not even offered to the sink any more.
    pub(crate) fn abandon(&self, events: &[E], error: &SinkError) -> Flow {
        let count = events.len() as u64;
        self.give_up(events, error, |state| {
            state.abandoned += count;
            state.undelivered += count;
        })
    }

    fn give_up(&self, events: &[E], error: &SinkError, count: impl FnOnce(&mut State<E>)) -> Flow {
        let mut state = self.state.lock();
        if state.taken.is_some() {
            return Flow::Stop;
        }
        count(&mut state);
        let gone = state.gone;
        state.handing_over = true;
        self.position.advance(events.len() as u64);
        drop(state);
        if gone {
            self.begin_close();
        }
        self.hand_over(events, error);
        self.state.lock().handing_over = false;
        self.attend()
    }

    /// The worker lags by `count` events more than its bound allows, and skips them.
    pub(crate) fn skip(&self, count: u64) -> Flow {
        let mut state = self.state.lock();
        if state.taken.is_some() {
            return Flow::Stop;
        }
        state.skipped += count;
        self.position.advance(count);
        drop(state);
        tracing::warn!(queue = &*self.name, count, "dropped the oldest events: the sink lags");
        self.attend()
    }

    /// Looks after all who want attention.
    fn attend(&self) -> Flow {
        self.position.attended();
        let mut state = self.state.lock();
        let flushing = state.flushed(self.position.settled());
        let flow = state.flow();
        let again = state.flush_at != u64::MAX || flow == Flow::Stop;
        drop(state);
        flushing.wake();
        let line = self.feed.admit();
        if again || line {
            self.position.call();
        }
        flow
    }

    /// Where the worker is to end: only what lies before is its to deliver.
    pub(crate) fn stop(&self) -> u64 {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether a closer has taken over, so that the worker has nothing left to do.
    pub(crate) fn is_taken(&self) -> bool {
        self.state.lock().taken.is_some()
    }

    /// Whether the worker, before it sleeps, is to end instead: because it is past `at` all that
    /// it has to deliver, or was stopped. Otherwise it is woken when that changes.
    pub(crate) fn poll_stop(&self, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.flow() == Flow::Stop || at >= self.stop() {
            return Poll::Ready(());
        }
        state.current = None;
        state.hear(cx.waker());
        let flushing = state.flushed(self.position.settled());
        drop(state);
        flushing.wake();
        Poll::Pending
    }

    /// Whether a closer has taken over from a worker that waits inside the sink.
    pub(crate) fn poll_taken(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.taken.is_some() {
            return Poll::Ready(());
        }
        state.hear(cx.waker());
        Poll::Pending
    }

    /// Why the worker has stopped: the destination is gone, or the events were given up.
    pub(crate) fn is_gone(&self) -> bool {
        self.state.lock().gone
    }

    /// Settles what the worker has not, from outside. Afterwards its answers are ignored.
    pub(crate) fn take_over(&self, why: &'static str) {
        let mut state = self.state.lock();
        if state.taken.is_some() || state.outcome.is_some() {
            return;
        }
        let settled = self.position.call();
        let end = self.feed.head().min(self.stop()).max(settled);
        let skipped = self.bound.map_or(0, |bound| (end - settled).saturating_sub(bound));
        let mut next = settled + skipped;
        let mut left = Vec::new();
        for chunk in state.current.take().into_iter().chain(self.feed.from(next)) {
            let beyond = chunk.end().saturating_sub(end) as usize;
            let events = chunk.from(next);
            left.extend_from_slice(&events[..events.len().saturating_sub(beyond)]);
            next = next.max(chunk.end());
        }
        let abandoned = left.len() as u64;
        state.skipped += end - settled - abandoned;
        state.abandoned += abandoned;
        state.undelivered += abandoned;
        state.taken = Some(end);
        let worker = state.worker.take();
        let flushing = state.flushing.take();
        drop(state);
        if !left.is_empty() {
            let error = SinkError::new(ErrorKind::Undelivered, why);
            self.hand_over(&left, &error);
        }
        flushing.wake();
        worker.into_iter().for_each(Waker::wake);
    }

    /// Records the end, the first time it is called, and tells everybody.
    pub(crate) fn finish(&self, close_error: Option<SinkError>) {
        let mut state = self.state.lock();
        if state.outcome.is_some() {
            return;
        }
        let undelivered =
            (state.undelivered > 0).then(|| SinkError::undelivered_events(state.undelivered));
        let gone = state.gone.then(|| {
            SinkError::new(ErrorKind::Closed, "the destination closed before its queue did")
        });
        let error = SinkError::combine([undelivered, gone, close_error].into_iter().flatten());
        state.outcome = Some(error.map_or(Ok(()), Err));
        let ending = state.ending.take();
        let flushing = state.flushing.take();
        drop(state);
        if self.owns_feed {
            self.feed.close();
        }
        ending.wake();
        flushing.wake();
    }

    /// The worker is gone before its end.
    pub(crate) fn worker_dropped(&self) {
        if self.state.lock().outcome.is_some() {
            return;
        }
        self.begin_close();
        self.take_over("the worker was dropped");
        // Begins the close; there is nobody left to wait for it.
        drop(isolate::call(self.id(), || drop(self.sink.close())));
        self.finish(Some(SinkError::new(ErrorKind::Closed, "the worker was dropped")));
    }

    fn hand_over(&self, events: &[E], error: &SinkError) {
        tracing::warn!(
            queue = &*self.name,
            count = events.len(),
            kind = %error.kind(),
            "events were not delivered"
        );
        let Some(dead_letter) = &self.dead_letter else { return };
        for event in events {
            let letter = DeadLetter { event: event.clone(), error: error.clone() };
            let refused =
                isolate::call(self.id(), || dead_letter.write(&letter)).and_then(|result| result);
            if let Err(refused) = refused {
                tracing::error!(queue = &*self.name, kind = %refused.kind(), "the dead letter was refused");
            }
        }
    }
}

impl<E> State<E> {
    fn flow(&self) -> Flow {
        if self.aborted || self.gone || self.taken.is_some() { Flow::Stop } else { Flow::Go }
    }

    /// The flushes that may have ended; those that have not come back.
    fn flushed(&mut self, settled: u64) -> Sleepers {
        if settled < self.flush_at {
            return Sleepers::none();
        }
        self.flush_at = u64::MAX;
        self.flushing.take()
    }

    /// Has the worker woken when it is stopped.
    fn hear(&mut self, waker: &Waker) {
        match &mut self.worker {
            Some(known) => known.clone_from(waker),
            None => self.worker = Some(waker.clone()),
        }
    }
}

impl<E> fmt::Debug for Outlet<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("name", &self.name)
            .field("settled", &self.position.settled())
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for OutletParts<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutletParts").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The output of `future`, unless `limit` ends first.
async fn before<T>(future: impl Future<Output = T>, limit: impl Future<Output = ()>) -> Option<T> {
    let (mut future, mut limit) = (pin!(future), pin!(limit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            ready!(limit.as_mut().poll(cx));
            Poll::Ready(None)
        }
    })
    .await
}
