//! From settings to a running queue.

use std::{sync::Arc, thread, time::Duration};

use events_core::{
    Close, ConfigError, Event, Overflow,
    engine::{AccountConfig, Cursor, Deliver, Linger, Worker, feed::Feed, park::block_on},
};

use crate::{
    builder::{Builder, Split},
    lanes::{Lane, Lanes, Many},
    queue::Queue,
    shared_close::lane_ends,
};

/// More lanes than this are a mistake, such as a capacity taken for a number of lanes.
const MOST_LANES: usize = 1 << 16;

/// A queue and the workers of its lanes.
type Built<E, D> = (Queue<E>, Vec<Worker<E, D>>);

/// A lane that is not built yet.
struct Draft<E> {
    capacity: Option<usize>,
    cursor: Arc<Cursor>,
    feed: Arc<Feed<E>>,
}

impl<E: Event + Clone, M> Builder<E, M> {
    /// Starts a thread for each lane.
    pub(crate) fn start_threads<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Queue<E>, ConfigError> {
        // If a thread cannot be started, dropping the queue ends those that were.
        let (queue, workers) = self.build(sink, deliver, false)?;
        let is_alone = workers.len() == 1;
        for (lane, worker) in workers.into_iter().enumerate() {
            let name = queue.name();
            let name = if is_alone { name.to_string() } else { format!("{name}-{lane}") };
            let thread = thread::Builder::new().name(name);
            thread.spawn(move || block_on(worker.run())).map_err(|error| {
                ConfigError::new("spawn", format!("could not start a thread: {error}"))
            })?;
        }
        Ok(queue)
    }

    /// Starts a task for each lane.
    #[cfg(feature = "tokio")]
    pub(crate) fn start_tasks<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Queue<E>, ConfigError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
            ConfigError::new("spawn_tokio", "must be called inside a tokio runtime")
        })?;
        let (queue, workers) = self.build(sink, deliver, true)?;
        for worker in workers {
            runtime.spawn(worker.run());
        }
        Ok(queue)
    }

    pub(crate) fn build<D: Deliver<E>>(
        mut self,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> Result<Built<E, D>, ConfigError> {
        let overflow = self.check()?;
        let split = self.split.take().filter(|split| split.lanes > 1);
        let Some(Split { lanes, route, .. }) = split else {
            let draft = self.draft(self.capacity, overflow);
            let (lane, worker) = self.lane(draft, sink, deliver, driven_by_future);
            return Ok((Queue::new(Lanes::One(lane.account), overflow), vec![worker]));
        };
        let share = |lane| self.capacity.map(|all| all / lanes + usize::from(lane < all % lanes));
        let drafts: Vec<_> = (0..lanes).map(|lane| self.draft(share(lane), overflow)).collect();
        let to_abort = Arc::clone(&sink);
        let feeds = drafts.iter().map(|draft| Arc::clone(&draft.feed)).collect();
        let (lanes, workers): (Vec<_>, _) = drafts
            .into_iter()
            .zip(lane_ends(sink, feeds))
            .map(|(draft, sink)| self.lane(draft, sink, deliver.clone(), driven_by_future))
            .unzip();
        let lanes = Lanes::Many(Box::new(Many { lanes: lanes.into(), route, sink: to_abort }));
        Ok((Queue::new(lanes, overflow), workers))
    }

    fn draft(&self, capacity: Option<usize>, overflow: Overflow) -> Draft<E> {
        // A chunk is what is kept until all of it is delivered, and it is what a batch is cut from.
        let chunk = self.linger.map_or(Feed::<E>::CHUNK, |linger| linger.events);
        let chunk = chunk.min(capacity.unwrap_or(usize::MAX));
        let limit = capacity.map(|capacity| capacity as u64);
        let bound = limit.filter(|_| overflow == Overflow::DropOldest);
        let cursor = Arc::new(Cursor::new(0, bound));
        let mut feed = Feed::with_chunks(chunk);
        if let (Some(limit), None) = (limit, bound) {
            feed = feed.bounded(limit, Arc::clone(&cursor));
        }
        Draft { capacity, cursor, feed: Arc::new(feed) }
    }

    fn lane<D: Deliver<E>>(
        &self,
        draft: Draft<E>,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> (Lane<E>, Worker<E, D>) {
        let Draft { capacity, cursor, feed } = draft;
        let most = capacity.unwrap_or(usize::MAX);
        let linger = self.linger.map_or(Linger::NONE, |linger| Linger {
            // A full lane has no more to wait for.
            events: if linger.limit.is_zero() { 1 } else { linger.events.min(most) },
            limit: linger.limit,
        });
        let parts = AccountConfig {
            sink,
            dead_letter: self.dead_letter.clone(),
            name: Arc::clone(&self.name),
            owns_feed: true,
            driven_by_future,
            span: self.linger.map_or(1, |linger| linger.events.min(most)) as u64,
            disconnect: false,
            cursor: Arc::clone(&cursor),
            on_end: None,
        };
        let reader = feed.reader(cursor.bound());
        let (account, worker) = Worker::new(reader, deliver, linger, parts);
        (Lane { account, cursor, capacity: most as u64 }, worker)
    }

    fn check(&self) -> Result<Overflow, ConfigError> {
        let refuse = |setting, problem: &str| Err(ConfigError::new(setting, problem));
        if self.name.contains('\0') {
            return refuse("name", "must not contain a NUL byte");
        }
        if self.capacity == Some(0) {
            return refuse("capacity", "must be at least 1, was 0");
        }
        if self.overflow.is_some() && self.capacity.is_none() {
            return refuse("overflow", "needs a capacity, without which the queue is never full");
        }
        if self.overflow == Some(Overflow::BlockFor(Duration::ZERO)) {
            return refuse("overflow", "must block for more than zero; use Overflow::Reject");
        }
        if let Some(linger) = self.linger {
            linger.check()?;
        }
        if let Some(Split { setting, lanes, .. }) = self.split {
            if lanes == 0 {
                return refuse(setting, "must be at least 1, was 0");
            }
            if lanes > MOST_LANES {
                return refuse(setting, &format!("must be at most {MOST_LANES}, was {lanes}"));
            }
            if let Some(capacity) = self.capacity.filter(|&capacity| capacity < lanes) {
                let problem =
                    format!("must be at least 1 for each of {lanes} lanes, was {capacity}");
                return refuse("capacity", &problem);
            }
        }
        Ok(self.overflow.unwrap_or_default())
    }
}
