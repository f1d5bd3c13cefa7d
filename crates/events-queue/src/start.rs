//! From settings to a running queue.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use events_core::{
    Close, ConfigError, Event, Overflow,
    engine::{
        Account, AccountConfig, Cursor, Deliver, Linger, Policy, Rules, Run, Worker,
        feed::{Feed, Weigher},
        park::block_on,
        schedule,
    },
};

use crate::{builder::Builder, queue::Queue};

/// More deliveries at a time than this are a mistake, such as a capacity taken for their number.
const MOST_CONCURRENT: usize = 1 << 16;

/// A queue, and what delivers once it is polled: one future for each delivery at a time.
type Built<E> = (Queue<E>, Vec<Run>);

impl<E: Event + Clone, M> Builder<E, M> {
    /// Starts a thread for each delivery at a time.
    pub(crate) fn start_threads<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Queue<E>, ConfigError> {
        // If a thread cannot be started, dropping the queue ends those that were.
        let (queue, runs) = self.build(sink, deliver, false)?;
        let is_alone = runs.len() == 1;
        for (number, run) in runs.into_iter().enumerate() {
            let name = queue.name();
            let name = if is_alone { name.to_string() } else { format!("{name}-{number}") };
            let thread = thread::Builder::new().name(name);
            thread.spawn(move || block_on(run)).map_err(|error| {
                ConfigError::new("spawn", format!("could not start a thread: {error}"))
            })?;
        }
        Ok(queue)
    }

    /// Starts a task for each delivery at a time.
    #[cfg(feature = "tokio")]
    pub(crate) fn start_tasks<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Queue<E>, ConfigError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            ConfigError::new("spawn_tokio", "must be called inside a tokio runtime")
        })?;
        let (queue, runs) = self.build(sink, deliver, true)?;
        for run in runs {
            runtime.spawn(run);
        }
        Ok(queue)
    }

    /// The queue, and one future that delivers.
    pub(crate) fn start_paired<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<(Queue<E>, impl Future<Output = ()> + Send + 'static), ConfigError> {
        let (queue, runs) = self.build(sink, deliver, true)?;
        Ok((queue, all(runs)))
    }

    fn build<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> Result<Built<E>, ConfigError> {
        let overflow = self.check()?;
        // A chunk is what is kept until all of it is delivered, and it is what a batch is cut from.
        let chunk = self.linger.map_or(Feed::<E>::CHUNK, |linger| linger.events);
        let chunk = chunk.min(self.capacity.unwrap_or(usize::MAX));
        let limit = self.capacity.map(|capacity| capacity as u64);
        let drops_oldest = overflow == Overflow::DropOldest;
        let is_bounded = limit.is_some() || self.bytes.is_some();
        let bound = (drops_oldest && is_bounded).then(|| limit.unwrap_or(u64::MAX));
        let cursor = Arc::new(Cursor::new(0, bound));
        let mut feed = Feed::with_chunks(chunk);
        if let Some((bytes, size)) = &self.bytes {
            let (size, in_order) = (Arc::clone(size), !self.is_scheduled());
            let weigher = Weigher { limit: *bytes as u64, size, drops_oldest, in_order };
            feed = feed.weighed(limit.unwrap_or(u64::MAX), Arc::clone(&cursor), weigher);
        } else if let (Some(limit), None) = (limit, bound) {
            feed = feed.bounded(limit, Arc::clone(&cursor));
        }
        let parts = AccountConfig {
            sink,
            dead_letter: self.dead_letter.clone(),
            name: Arc::clone(&self.name),
            owns_feed: true,
            driven_by_future,
            span: self.largest_batch() as u64,
            disconnect: false,
            cursor,
            on_end: None,
            on_abort: None,
        };
        let (account, runs) = self.workers(&Arc::new(feed), deliver, parts);
        Ok((Queue::new(account, overflow), runs))
    }

    /// The account, and who delivers.
    fn workers<D: Deliver<E> + 'static>(
        self,
        feed: &Arc<Feed<E>>,
        deliver: D,
        parts: AccountConfig<E>,
    ) -> (Arc<Account<E>>, Vec<Run>) {
        let linger = self.linger();
        let reader = feed.reader(parts.cursor.bound());
        if !self.is_scheduled() {
            let (account, worker) = Worker::new(reader, deliver, linger, parts);
            return (account, vec![Box::pin(worker.run())]);
        }
        let policy = Policy {
            most: self.largest_batch(),
            linger: (linger.events, linger.limit),
            blocks: !parts.driven_by_future,
            circuit: self.circuit,
            disable_after: self.disable_after,
        };
        let rules = Rules { key: self.key, schedule: self.schedule };
        let count = self.concurrency.unwrap_or(1);
        let (account, deliverers) = schedule(reader, &deliver, count, policy, &rules, parts);
        let run =
            |deliverer: events_core::engine::Deliverer<E, D>| Box::pin(deliverer.run()) as Run;
        (account, deliverers.into_iter().map(run).collect())
    }

    /// How many events the sink is given at once, at most.
    fn largest_batch(&self) -> usize {
        let most = self.capacity.unwrap_or(usize::MAX);
        self.linger.map_or(1, |linger| linger.events.min(most))
    }

    fn linger(&self) -> Linger {
        let most = self.capacity.unwrap_or(usize::MAX);
        self.linger.map_or(Linger::NONE, |linger| Linger {
            // A full queue has no more to wait for.
            events: if linger.limit.is_zero() { 1 } else { linger.events.min(most) },
            limit: linger.limit,
        })
    }

    /// Whether there is more to it than to deliver one after the other.
    fn is_scheduled(&self) -> bool {
        self.concurrency.is_some_and(|count| count > 1) || self.schedule.is_some()
    }

    fn check(&self) -> Result<Overflow, ConfigError> {
        let refuse = |setting, problem: &str| Err(ConfigError::new(setting, problem));
        if self.name.contains('\0') {
            return refuse("name", "must not contain a NUL byte");
        }
        if self.capacity == Some(0) {
            return refuse("capacity", "must be at least 1, was 0");
        }
        if self.bytes.as_ref().is_some_and(|(limit, _)| *limit == 0) {
            return refuse("capacity_bytes", "must be at least 1, was 0");
        }
        if self.overflow.is_some() && self.capacity.is_none() && self.bytes.is_none() {
            return refuse("overflow", "needs a capacity, without which the queue is never full");
        }
        if self.overflow == Some(Overflow::BlockFor(Duration::ZERO)) {
            return refuse("overflow", "must block for more than zero; use Overflow::Reject");
        }
        if let Some(linger) = self.linger {
            linger.check()?;
        }
        match self.concurrency {
            Some(0) => return refuse("concurrency", "must be at least 1, was 0"),
            Some(count) if count > MOST_CONCURRENT => {
                let problem = format!("must be at most {MOST_CONCURRENT}, was {count}");
                return refuse("concurrency", &problem);
            }
            _ => {}
        }
        match &self.schedule {
            Some(schedule) => schedule.check()?,
            None if self.circuit.is_some() => {
                return refuse(
                    "circuit",
                    "needs `redeliver`, without which nothing is tried again",
                );
            }
            None if self.disable_after.is_some() => {
                let problem = "needs `redeliver`, without which nothing is tried again";
                return refuse("disable_after", problem);
            }
            None => {}
        }
        if self.disable_after.is_some_and(|limit| limit.is_zero()) {
            return refuse("disable_after", "must be more than zero");
        }
        Ok(self.overflow.unwrap_or_default())
    }
}

/// Drives all of them in one future: one that waits does not hold up the others.
async fn all(mut runs: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    if runs.len() == 1
        && let Some(run) = runs.pop()
    {
        return run.await;
    }
    poll_fn(|cx| {
        runs.retain_mut(|run| run.as_mut().poll(cx).is_pending());
        if runs.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
