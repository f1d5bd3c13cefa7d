use std::{fmt, marker::PhantomData, sync::Arc, thread, time::Duration};

use events_core::{
    AsyncSink, Batches, Blocking, Close, ConfigError, Cursor, DeadLetter, Deliver, Each, Event,
    Linger, OutletParts, Overflow, Sink, Worker, feed::Feed, park::block_on,
};

use crate::Queue;

/// A batch that waits longer than this for more events has been misconfigured.
const LONGEST_LINGER: Duration = Duration::from_hours(24);

/// The sink is written to one event at a time: a sink of `E`.
#[derive(Debug, Clone, Copy)]
pub enum Single {}

/// The sink is written to in batches: a sink of `[E]`.
#[derive(Debug, Clone, Copy)]
pub enum Batching {}

/// Sets up a [`Queue`].
///
/// # Default
/// Unbounded; with a capacity, writers wait for room ([`Overflow::Block`]). One event at a time.
/// No dead letter: what cannot be delivered is counted and told through `tracing`.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use events_core::{Close, Memory, Sink};
/// use events_queue::{Overflow, Queue};
///
/// let batches = Arc::new(Memory::<[u32]>::new());
/// let queue = Queue::builder()
///     .name("metrics")
///     .capacity(10_000)
///     .overflow(Overflow::DropOldest)
///     .batch(100, Duration::from_millis(50))
///     .spawn(Arc::clone(&batches))?;
/// for event in 0..250 {
///     queue.write(&event)?;
/// }
/// queue.close().wait()?;
/// assert_eq!(batches.events().concat(), (0..250).collect::<Vec<u32>>());
/// assert!(batches.events().iter().all(|batch| batch.len() <= 100));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Builder<E, M> {
    name: Arc<str>,
    capacity: Option<usize>,
    overflow: Option<Overflow>,
    linger: Option<Linger>,
    dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
    mode: PhantomData<fn() -> M>,
}

impl<E: Event + Clone> Builder<E, Single> {
    pub(crate) fn new() -> Self {
        Self {
            name: Arc::from("queue"),
            capacity: None,
            overflow: None,
            linger: None,
            dead_letter: None,
            mode: PhantomData,
        }
    }

    /// Writes to a sink of `[E]`, up to `max` events at a time; an event waits at most `linger`
    /// for others to join it, not at all if that is zero.
    ///
    /// A batch succeeds or fails as one.
    pub fn batch(self, max: usize, linger: Duration) -> Builder<E, Batching> {
        Builder {
            name: self.name,
            capacity: self.capacity,
            overflow: self.overflow,
            linger: Some(Linger { events: max, limit: linger }),
            dead_letter: self.dead_letter,
            mode: PhantomData,
        }
    }

    /// Starts a thread that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a thread that could not be started.
    pub fn spawn(self, sink: impl Sink<E> + 'static) -> Result<Queue<E>, ConfigError> {
        let sink = Arc::new(sink);
        self.start_thread(Arc::clone(&sink) as _, Each(Blocking(sink)))
    }

    /// The queue, and a future that delivers to `sink`: see [`Queue::pair`].
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn pair(
        self,
        sink: impl AsyncSink<E> + 'static,
    ) -> Result<(Queue<E>, impl Future<Output = ()> + Send + 'static), ConfigError> {
        let sink = Arc::new(sink);
        let (queue, worker) = self.build(Arc::clone(&sink) as _, Each(sink), true)?;
        Ok((queue, worker.run()))
    }

    /// Spawns a task on the current tokio runtime that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(self, sink: impl AsyncSink<E> + 'static) -> Result<Queue<E>, ConfigError> {
        let runtime = current_runtime()?;
        let (queue, worker) = self.pair(sink)?;
        runtime.spawn(worker);
        Ok(queue)
    }
}

impl<E: Event + Clone> Builder<E, Batching> {
    /// Starts a thread that delivers batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a thread that could not be started.
    pub fn spawn(self, sink: impl Sink<[E]> + 'static) -> Result<Queue<E>, ConfigError> {
        let sink = Arc::new(sink);
        self.start_thread(Arc::clone(&sink) as _, Batches(Blocking(sink)))
    }

    /// The queue, and a future that delivers batches to `sink`: see [`Queue::pair`].
    ///
    /// # Errors
    /// A setting that makes no sense.
    pub fn pair(
        self,
        sink: impl AsyncSink<[E]> + 'static,
    ) -> Result<(Queue<E>, impl Future<Output = ()> + Send + 'static), ConfigError> {
        let sink = Arc::new(sink);
        let (queue, worker) = self.build(Arc::clone(&sink) as _, Batches(sink), true)?;
        Ok((queue, worker.run()))
    }

    /// Spawns a task on the current tokio runtime that delivers batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(self, sink: impl AsyncSink<[E]> + 'static) -> Result<Queue<E>, ConfigError> {
        let runtime = current_runtime()?;
        let (queue, worker) = self.pair(sink)?;
        runtime.spawn(worker);
        Ok(queue)
    }
}

impl<E: Event + Clone, M> Builder<E, M> {
    /// What to call the queue in traces, and its thread.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// At most this many events are pending, waiting or being delivered; at least 1.
    pub fn capacity(mut self, events: usize) -> Self {
        self.capacity = Some(events);
        self
    }

    /// What a write to a full queue does. Needs a [`capacity`](Self::capacity).
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// Who gets each event that will not be delivered, with its error: one the sink refused for
    /// good, or one given up by an abort. Not what an overflow policy drops.
    ///
    /// It must not wait, and the queue does not close it, since several may share it.
    pub fn dead_letter(mut self, sink: impl Sink<DeadLetter<E>> + 'static) -> Self {
        self.dead_letter = Some(Arc::new(sink));
        self
    }

    fn start_thread<D: Deliver<E> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Queue<E>, ConfigError> {
        let thread = thread::Builder::new().name(self.name.to_string());
        let (queue, worker) = self.build(sink, deliver, false)?;
        thread.spawn(move || block_on(worker.run())).map_err(|error| {
            ConfigError::new("spawn", format!("could not start a thread: {error}"))
        })?;
        Ok(queue)
    }

    fn build<D: Deliver<E>>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> Result<(Queue<E>, Worker<E, D>), ConfigError> {
        let overflow = self.check()?;
        let capacity = self.capacity.unwrap_or(usize::MAX);
        let linger = self.linger.map_or(Linger::NONE, |linger| Linger {
            // A full queue has no more to wait for.
            events: if linger.limit.is_zero() { 1 } else { linger.events.min(capacity) },
            limit: linger.limit,
        });
        let span = self.linger.map_or(1, |linger| linger.events.min(capacity));
        // A chunk is what is kept until all of it is delivered, and it is what a batch is cut from.
        let chunk = self.linger.map_or(Feed::<E>::CHUNK, |linger| linger.events).min(capacity);

        let capacity = self.capacity.map(|capacity| capacity as u64);
        let bound = capacity.filter(|_| overflow == Overflow::DropOldest);
        let cursor = Arc::new(Cursor::new(0, bound));
        let mut feed = Feed::with_chunks(chunk);
        if let (Some(capacity), None) = (capacity, bound) {
            feed = feed.bounded(capacity, Arc::clone(&cursor));
        }
        let reader = Arc::new(feed).reader(bound);
        let parts = OutletParts {
            sink,
            dead_letter: self.dead_letter,
            name: self.name,
            owns_feed: true,
            driven_by_future,
            span: span as u64,
            disconnect: false,
            cursor,
            on_end: None,
        };
        let (outlet, worker) = Worker::new(reader, deliver, linger, parts);
        Ok((Queue::new(outlet, overflow), worker))
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
        if let Some(Linger { events, limit }) = self.linger {
            if events == 0 {
                return refuse("batch", "must hold at least 1 event, was 0");
            }
            if limit > LONGEST_LINGER {
                return refuse("batch", "must not linger for more than a day");
            }
        }
        Ok(self.overflow.unwrap_or_default())
    }
}

#[cfg(feature = "tokio")]
fn current_runtime() -> Result<tokio::runtime::Handle, ConfigError> {
    tokio::runtime::Handle::try_current()
        .map_err(|_| ConfigError::new("spawn_tokio", "must be called inside a tokio runtime"))
}

impl<E, M> fmt::Debug for Builder<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .field("linger", &self.linger)
            .field("dead_letter", &self.dead_letter.is_some())
            .finish()
    }
}
