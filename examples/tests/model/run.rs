//! Runs a plan: writers write, others interfere, the end comes; then all is checked.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use events_core::{Close, Closing, SinkError, Stats, engine::clock};
use parking_lot::Mutex;

use crate::{
    check,
    component::Component,
    found::Retried,
    pause::{Latch, nap},
    pipeline::{Entry, Pipeline},
    plan::{Drive, End, Plan},
    writers,
};

/// How long somebody waits for a flush.
const PATIENCE: Duration = Duration::from_millis(2);

/// How it ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// When the first stage took nothing more, if it was closed.
    pub(crate) closed_at: Option<u64>,
    /// When events were given up, at the earliest.
    pub(crate) aborted_at: Option<u64>,
    pub(crate) result: Option<Result<(), SinkError>>,
    /// What another closer was told.
    pub(crate) told_another: Option<Result<(), SinkError>>,
}

impl Plan {
    /// What does not hold.
    pub(crate) fn run(&self) -> Vec<String> {
        self.world.run(self.play()).unwrap_or_else(|error| vec![format!("no runtime: {error}")])
    }

    async fn play(&self) -> Vec<String> {
        let pipeline = Pipeline::new(self.world);
        let first = pipeline.first(&self.stage);
        for (writer, plan) in (0..).zip(&self.writers) {
            writers::start(&pipeline, &first, writer, plan);
        }
        let over = Arc::new(Latch::default());
        let mut beside = vec![self.until(&over, watch(Arc::clone(&pipeline)))];
        if let Some(micros) = self.flushes
            && self.ending.end != End::DropHandles
        {
            let flushes = flush_now_and_then(Arc::clone(&pipeline), Arc::clone(&first), micros);
            beside.push(self.until(&over, flushes));
        }

        self.ending.moment.come(&pipeline.written).await;
        let outcome = self.end(&pipeline, first).await;
        over.open();
        for job in beside {
            job.end().await;
        }
        pipeline.release();
        let next = || pipeline.jobs.lock().pop();
        while let Some(job) = next() {
            job.end().await;
        }
        pipeline.all_closed().await;
        let next = || pipeline.drivers.lock().pop();
        while let Some(driver) = next() {
            driver.end().await;
        }
        settle(&pipeline).await;
        check::all(&pipeline, self, &outcome)
    }

    fn until(
        &self,
        over: &Arc<Latch>,
        job: impl Future<Output = ()> + Send + 'static,
    ) -> crate::world::Job {
        let over = Arc::clone(over);
        self.world.go(async move {
            let _ended = clock::before(job, over.pass()).await;
        })
    }

    async fn end(&self, pipeline: &Arc<Pipeline>, first: Entry) -> Outcome {
        let end = self.ending.end;
        let mut outcome = Outcome::default();
        if end.gives_up() {
            outcome.aborted_at = Some(pipeline.time.tick());
        }
        if !end.gives_up() || end == End::DropWorkers {
            pipeline.release();
        }
        match end {
            End::DropHandles => {
                drop(first);
                let accounts = pipeline.found.lock().accounts.clone();
                let queues = accounts.iter().filter(|account| account.is_queue());
                queues.for_each(|queue| queue.let_go());
                return outcome;
            }
            End::DropWorkers => {
                let now = pipeline.time.tick();
                let mut found = pipeline.found.lock();
                found.dismissed = Some(now);
                for account in &found.accounts {
                    if account.drive == Drive::Pair {
                        account.window.leaving.fetch_min(now, Ordering::SeqCst);
                    }
                }
                drop(found);
                pipeline.dismissed.open();
            }
            End::AbortAndClose => first.abort(),
            _ => {}
        }
        let another = (end == End::CloseTwice).then(|| {
            let told = Arc::new(Mutex::new(None));
            let (first, tell) = (Arc::clone(&first), Arc::clone(&told));
            let closer = self.world.go(async move {
                let result = first.close().await;
                *tell.lock() = Some(result);
            });
            (closer, told)
        });
        let closing = match end {
            End::CloseWithin(micros) => close_within(&first, Duration::from_micros(micros)),
            _ => first.close(),
        };
        outcome.closed_at = Some(pipeline.time.tick());
        let result = if end == End::CloseThenAbort {
            if let Some(result) = clock::before(closing, nap(100)).await {
                result
            } else {
                first.abort();
                first.close().await
            }
        } else {
            closing.await
        };
        outcome.result = Some(result);
        if let Some((closer, told)) = another {
            closer.end().await;
            outcome.told_another = told.lock().take();
        }
        writers::write_late(&first).await;
        outcome
    }
}

fn close_within(first: &Entry, limit: Duration) -> Closing<'_> {
    match &first.inner {
        Component::Queue(queue) => queue.close_within(limit),
        Component::Broadcaster(all) => all.close_within(limit),
        Component::Destination(_) | Component::Retry(_) => {
            first.abort();
            first.close()
        }
    }
}

/// Sees again and again that every account adds up.
async fn watch(pipeline: Arc<Pipeline>) {
    loop {
        let accounts = pipeline.found.lock().accounts.clone();
        for account in accounts {
            if let Some(stats) = account.stats()
                && !adds_up(&stats)
            {
                pipeline.problem(format!("{}: does not add up: {stats:?}", account.name));
            }
        }
        nap(50).await;
    }
}

pub(crate) fn adds_up(stats: &Stats) -> bool {
    let settled = stats.delivered + stats.failed + stats.dropped.total();
    stats.accepted == settled + stats.pending
}

/// Flushes, and notes what was flushed when.
async fn flush_now_and_then(pipeline: Arc<Pipeline>, first: Entry, micros: u64) {
    loop {
        nap(micros).await;
        let began = pipeline.time.tick();
        let flush = match &first.inner {
            Component::Queue(queue) => queue.flush(),
            Component::Broadcaster(all) => all.flush(),
            Component::Destination(_) | Component::Retry(_) => return,
        };
        // One that takes too long is given up, which must do no harm.
        if let Some(Ok(())) = clock::before(flush, clock::sleep(PATIENCE)).await {
            let ended = pipeline.time.tick();
            pipeline.flushes.lock().push((began, ended));
        }
    }
}

/// Waits for those that still hand on what an end has left to them. What does not settle is found
/// by the check.
async fn settle(pipeline: &Pipeline) {
    let (accounts, retries) = {
        let found = pipeline.found.lock();
        (found.accounts.clone(), found.retries.clone())
    };
    for _ in 0..1_000 {
        let settled = accounts.iter().all(|account| {
            let handed_on = account.stats().is_none_or(|stats| {
                let dead = account.dead.letters().len() as u64;
                stats.pending == 0 && stats.failed + stats.dropped.abandoned == dead
            });
            handed_on && !account.is_draining() && !account.exit.is_under_way()
        });
        let settled = settled && retries.iter().all(Retried::has_counted);
        if settled {
            return;
        }
        nap(1_000).await;
    }
}
