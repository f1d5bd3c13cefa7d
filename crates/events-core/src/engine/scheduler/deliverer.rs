use std::{
    fmt,
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use super::{
    backlog::{Backlog, Next, Visit},
    batch::{Batch, Outcome},
};
use crate::{
    engine::{
        account::{Account, Flow},
        deliver::Deliver,
        feed::Chunk,
        isolate,
        member::EndOnDrop,
        waits::Wide,
    },
    error::SinkError,
    event::Event,
    runtime::{clock, trace::tell},
    strategy::schedule::{Failure, Schedule},
};

/// How many batches a task delivers before others have a turn: what tokio grants a task.
const TURN: usize = 128;
/// Of so many deliveries in a task, one is timed.
const SAMPLE: usize = 16;
/// A task that computes for so long before its sink waits is worth waking another for.
const LONG: Duration = Duration::from_micros(20);

/// Takes the hash of an event's key.
pub type KeyOf<E> = Arc<dyn Fn(&E) -> u64 + Send + Sync>;

/// One of the equals that deliver what a queue has accepted: a thread or a task, with at most one
/// batch in the sink's hands.
///
/// Each looks for work, delivers it, and says what became of it, in a loop. Dropping one before its
/// end ends the account: what is pending is dropped, and closers are told.
pub struct Deliverer<E: Event + Clone, D> {
    pub(super) id: usize,
    /// What [`isolate`] calls the calls into the sink: one name for all deliverers.
    pub(super) name: usize,
    pub(super) account: Arc<Account<E>>,
    pub(super) backlog: Arc<Backlog<E>>,
    pub(super) sink: D,
    pub(super) key: Option<KeyOf<E>>,
    pub(super) schedule: Option<Schedule>,
    /// Whether the sink takes long to compute, or blocks: then another deliverer is woken before it is
    /// called, if there is more to do. Otherwise that comes when the sink has to wait.
    pub(super) is_slow: bool,
    /// An empty batch, to be filled with what is next.
    pub(super) spare: Option<Arc<Batch<E>>>,
    /// Whether events are dropped when too many wait.
    pub(super) is_bounded: bool,
    pub(super) _wide: Option<Arc<Wide>>,
    pub(super) has_ended: bool,
}

impl<E: Event + Clone, D: Deliver<E>> Deliverer<E, D> {
    /// Delivers until all is delivered or given up; the last one closes the sink.
    pub async fn run(mut self) {
        let mut turn = 0_usize;
        let mut delivered = None;
        loop {
            match self.next(&mut delivered).await {
                Next::Deliver(batch) => {
                    // In a model no time passes.
                    let is_timed = turn.is_multiple_of(SAMPLE) && !cfg!(loom);
                    let start = is_timed.then(Instant::now);
                    delivered = self.deliver(batch, start).await;
                    turn += 1;
                    if turn == TURN {
                        turn = 0;
                        // Or it would be given up, if the deliverer were dropped where it waits.
                        self.settle(&mut delivered);
                        self.yield_turn().await;
                    }
                }
                Next::Open(chunk) => self.open(chunk),
                _ => break,
            }
        }
        if self.backlog.leave(self.id) {
            self.finish().await;
        }
        self.has_ended = true;
    }

    /// What to do next, when there is something: a batch, a chunk to open, or the end. It is told that
    /// the last batch was `delivered`, if it was.
    async fn next(&mut self, delivered: &mut Option<Arc<Batch<E>>>) -> Next<E> {
        let mut alarm = None;
        // Where the sink is quick, one is enough. Once it was woken, it was for a reason.
        let mut retires = delivered.is_some() && !self.is_slow;
        poll_fn(|cx| {
            let mut waker = None;
            loop {
                if self.is_to_stop() {
                    self.settle(delivered);
                    return Poll::Ready(Next::End);
                }
                let done = delivered.take();
                let visit = Visit::new(self.id, &mut self.spare, self.is_slow);
                let visit = visit.after(done.as_deref(), retires).or_wake(waker.take());
                let (next, notified) = self.backlog.next(visit);
                self.reuse(done);
                if notified && self.account.serve_waiters() == Flow::Stop {
                    // What it was given now is given up with the rest.
                    return Poll::Ready(Next::End);
                }
                match next {
                    Next::AskWithWakers => waker = Some(cx.waker()),
                    Next::Notified => {
                        if self.account.serve_waiters() == Flow::Stop {
                            return Poll::Ready(Next::End);
                        }
                    }
                    Next::Sleep(until) => {
                        retires = false;
                        let Some(until) = until else { return Poll::Pending };
                        let alarm = alarm.insert(clock::sleep_until(until));
                        if pin!(alarm).poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                    next => return Poll::Ready(next),
                }
            }
        })
        .await
    }

    /// Looks after whoever wants attention, and after what is beyond the bound.
    fn is_to_stop(&self) -> bool {
        (self.account.is_notified() && self.account.serve_waiters() == Flow::Stop)
            || (self.is_bounded && self.account.drop_excess() == Flow::Stop)
    }

    /// Settles what was delivered, without taking more.
    fn settle(&mut self, delivered: &mut Option<Arc<Batch<E>>>) {
        if let Some(batch) = delivered.take() {
            self.backlog.delivered(self.id, &batch);
            self.reuse(Some(batch));
        }
    }

    /// Drops the events of a batch that is settled, where they may do as they like.
    fn reuse(&mut self, batch: Option<Arc<Batch<E>>>) {
        let Some(mut batch) = batch else { return };
        Arc::get_mut(&mut batch).map(Batch::clear);
        self.spare = Some(batch).filter(|batch| batch.is_empty());
    }

    /// Lets other tasks run.
    async fn yield_turn(&self) {
        let mut has_yielded = self.account.blocks();
        poll_fn(|cx| {
            if std::mem::replace(&mut has_yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Takes the key of each event of `chunk`. A key that panics is that event's failure.
    fn open(&self, chunk: Arc<Chunk<E>>) {
        let name = self.name;
        let key_of = |event| match &self.key {
            Some(key) => isolate::call(name, || key(event)),
            None => Ok(0),
        };
        let keys = if self.key.is_some() { chunk.iter().map(key_of).collect() } else { Vec::new() };
        let Err((chunk, keys)) = self.backlog.open(chunk, keys, None) else { return };
        let cloned = chunk.to_vec();
        let opened = self.backlog.open(chunk, keys, Some(cloned));
        debug_assert!(opened.is_ok(), "nothing is in the way of events that were cloned");
    }

    /// Gives `batch` to the sink, and back if all of it was delivered: that is still to be settled
    /// then. Everything else is.
    async fn deliver(
        &mut self,
        batch: Arc<Batch<E>>,
        start: Option<Instant>,
    ) -> Option<Arc<Batch<E>>> {
        let result = if let Some(refused) = &batch.refused {
            Some(Err(refused.clone()))
        } else {
            let (result, took) = self.write(&batch, start).await;
            self.is_slow = took.map_or(self.is_slow, |took| took > LONG) || self.account.blocks();
            result
        };
        match result {
            Some(Ok(())) => Some(batch),
            Some(Err(error)) => {
                self.fail(batch, &error);
                None
            }
            // A closer that has lost patience has settled it.
            None => None,
        }
    }

    /// `None` if the account has ended while the sink was waiting. With it: how long after `start` the
    /// sink had answered or began to wait.
    async fn write(
        &self,
        batch: &Batch<E>,
        start: Option<Instant>,
    ) -> (Option<Result<(), SinkError>>, Option<Duration>) {
        // In a block, since a sink for threads is written to as soon as it is asked for the future.
        let mut delivery = pin!(async { self.sink.deliver(&batch.events).await });
        let mut took = None;
        let result = poll_fn(|cx| match isolate::call(self.name, || delivery.as_mut().poll(cx)) {
            Ok(Poll::Ready(result)) => Poll::Ready(Some(result)),
            Err(panicked) => Poll::Ready(Some(Err(panicked))),
            Ok(Poll::Pending) => {
                took = took.or_else(|| start.map(|start| start.elapsed()));
                // In this order: whoever ends the account notifies the backlog afterwards.
                self.backlog.watch(self.id, cx.waker());
                if self.account.has_ended() { Poll::Ready(None) } else { Poll::Pending }
            }
        })
        .await;
        (result, took.or_else(|| start.map(|start| start.elapsed())))
    }

    /// Some of a batch's events were not delivered, perhaps all.
    fn fail(&self, batch: Arc<Batch<E>>, error: &SinkError) {
        let outcomes = self.outcomes(&batch, error);
        self.account.answer(self.id, batch, outcomes, error.kind());
    }

    fn outcomes(&self, batch: &Batch<E>, error: &SinkError) -> Vec<Outcome> {
        let named = error.failures();
        // A position beyond the events is a mistake of the sink's: then none of them can be trusted.
        let names_some = !named.is_empty() && named.iter().all(|(at, _)| *at < batch.len());
        let mut outcomes: Vec<_> = (0..batch.len())
            .map(|_| if names_some { Outcome::Delivered } else { Outcome::Failed(error.clone()) })
            .collect();
        for (at, error) in named.iter().filter(|_| names_some) {
            outcomes[*at] = Outcome::Failed(error.clone());
        }
        let is_retryable = batch.refused.is_none() && error.kind().is_retryable();
        if !is_retryable {
            self.backlog.release(batch);
            return outcomes;
        }
        let judged = self.backlog.judge(batch, error);
        if let Some(failing) = judged.disabled {
            let queue = self.account.name();
            let what = "disabled: every delivery has failed for too long";
            tell(|| tracing::error!(queue, ?failing, "{what}"));
        }
        for (outcome, meta) in outcomes.iter_mut().zip(&batch.metas) {
            let Outcome::Failed(error) = outcome else { continue };
            let Some(after) = self.delay(error, meta.attempts, meta.written, judged.counts) else {
                continue;
            };
            *outcome = Outcome::Retry { after, counts: judged.counts };
        }
        outcomes
    }

    /// How long an event waits for its next attempt, if there is one.
    fn delay(
        &self,
        error: &SinkError,
        attempts: u32,
        written: u64,
        counts: bool,
    ) -> Option<Duration> {
        let schedule = self.schedule.as_ref().filter(|_| error.kind().is_retryable())?;
        if !counts {
            return Some(Duration::ZERO);
        }
        let age = self.backlog.age(written);
        let failure = Failure::new(attempts + 1, age, error);
        // A closure that panics has no further attempt to give.
        isolate::call(self.name, || schedule.delay(&failure)).ok().flatten()
    }

    /// Ends the account: hands on what will not be delivered, and closes the sink.
    async fn finish(&self) {
        let account = &self.account;
        if account.has_ended() {
            // A closer that has lost patience has closed the sink as well.
            return;
        }
        let _if_dropped = EndOnDrop(account);
        account.give_up_rest("given up by an abort");
        let mut closing = pin!(account.close_sink());
        let closed = poll_fn(|cx| match isolate::call(self.name, || closing.as_mut().poll(cx)) {
            Ok(Poll::Ready(closed)) => Poll::Ready(closed),
            Err(panicked) => Poll::Ready(Err(panicked)),
            Ok(Poll::Pending) => {
                self.backlog.watch(self.id, cx.waker());
                if account.has_ended() { Poll::Ready(Ok(())) } else { Poll::Pending }
            }
        });
        account.finish(closed.await.err());
    }
}

impl<E: Event + Clone, D> Drop for Deliverer<E, D> {
    fn drop(&mut self) {
        if !self.has_ended && self.backlog.abandon() {
            self.account.worker_dropped();
        }
    }
}

impl<E: Event + Clone, D> fmt::Debug for Deliverer<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer").field("id", &self.id).finish_non_exhaustive()
    }
}
