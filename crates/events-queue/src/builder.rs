use std::{
    fmt,
    hash::Hash,
    marker::PhantomData,
    sync::{Arc, LazyLock},
    time::Duration,
};

use events_core::{
    AsyncSink, ConfigError, DeadLetter, Event, Overflow, Sink,
    engine::{Batches, Blocking, Each, Linger},
};

use crate::{drive::drive, lanes::Route, queue::Queue};

/// What a queue is called unless it is told, the same for all of them.
static NAME: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("queue"));

/// The sink is written to one event at a time: a sink of `E`.
#[derive(Debug, Clone, Copy)]
pub enum Single {}

/// The sink is written to in batches: a sink of `[E]`.
#[derive(Debug, Clone, Copy)]
pub enum Batching {}

/// Sets up a [`Queue`].
///
/// # Default
/// Unbounded; with a capacity, writers wait for room ([`Overflow::Block`]). One event at a time, in
/// one lane. No dead letter: what cannot be delivered is counted and told through `tracing`.
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
    pub(crate) name: Arc<str>,
    pub(crate) capacity: Option<usize>,
    pub(crate) overflow: Option<Overflow>,
    pub(crate) linger: Option<Linger>,
    pub(crate) split: Option<Split<E>>,
    pub(crate) dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
    mode: PhantomData<fn() -> M>,
}

/// Parallel delivery.
pub(crate) struct Split<E> {
    /// The method that asked for it.
    pub(crate) setting: &'static str,
    pub(crate) lanes: usize,
    pub(crate) route: Route<E>,
}

impl<E: Event + Clone> Queue<E> {
    /// Capacity, overflow policy, batches, lanes, dead letter and name.
    pub fn builder() -> Builder<E, Single> {
        Builder::new()
    }
}

impl<E: Event + Clone> Builder<E, Single> {
    pub(crate) fn new() -> Self {
        Self {
            name: Arc::clone(&NAME),
            capacity: None,
            overflow: None,
            linger: None,
            split: None,
            dead_letter: None,
            mode: PhantomData,
        }
    }

    /// Writes to a sink of `[E]`, up to `max` events at a time; an event waits at most `linger`
    /// for others to join it, not at all if that is zero.
    ///
    /// A batch succeeds or fails as one. With [`lanes`](Self::lanes), its events are of one lane.
    pub fn batch(self, max: usize, linger: Duration) -> Builder<E, Batching> {
        Builder {
            name: self.name,
            capacity: self.capacity,
            overflow: self.overflow,
            linger: Some(Linger { events: max, limit: linger }),
            split: self.split,
            dead_letter: self.dead_letter,
            mode: PhantomData,
        }
    }

    /// Starts a thread, or one for each lane, that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a thread that could not be started.
    pub fn spawn(self, sink: impl Sink<E> + 'static) -> Result<Queue<E>, ConfigError> {
        let sink = Arc::new(sink);
        self.start_threads(Arc::clone(&sink) as _, Each(Blocking(sink)))
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
        let (queue, workers) = self.build(Arc::clone(&sink) as _, Each(sink), true)?;
        Ok((queue, drive(workers)))
    }

    /// Spawns a task, or one for each lane, on the current tokio runtime that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(self, sink: impl AsyncSink<E> + 'static) -> Result<Queue<E>, ConfigError> {
        let sink = Arc::new(sink);
        self.start_tasks(Arc::clone(&sink) as _, Each(sink))
    }
}

impl<E: Event + Clone> Builder<E, Batching> {
    /// Starts a thread, or one for each lane, that delivers batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a thread that could not be started.
    pub fn spawn(self, sink: impl Sink<[E]> + 'static) -> Result<Queue<E>, ConfigError> {
        let sink = Arc::new(sink);
        self.start_threads(Arc::clone(&sink) as _, Batches(Blocking(sink)))
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
        let (queue, workers) = self.build(Arc::clone(&sink) as _, Batches(sink), true)?;
        Ok((queue, drive(workers)))
    }

    /// Spawns a task, or one for each lane, on the current tokio runtime that delivers batches to
    /// `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(self, sink: impl AsyncSink<[E]> + 'static) -> Result<Queue<E>, ConfigError> {
        let sink = Arc::new(sink);
        self.start_tasks(Arc::clone(&sink) as _, Batches(sink))
    }
}

impl<E: Event + Clone, M> Builder<E, M> {
    /// What to call the queue in traces, and its thread; those of several lanes are numbered.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// At most this many events are pending, waiting or being delivered; at least 1.
    pub fn capacity(mut self, events: usize) -> Self {
        self.capacity = Some(events);
        self
    }

    /// Delivers to the sink `lanes` events at a time, and events with the same `key` one after the
    /// other, in the order in which they were written.
    ///
    /// Each lane is a queue of its own with a worker of its own, in front of the one sink. The key's
    /// hash alone, always the same for the same key, says which lane an event goes to. So a slow
    /// event holds up those behind it in its lane, whatever their keys, and no other lane; and few
    /// keys, or one frequent one, leave lanes idle. The key is taken on the writer's thread, at
    /// each write.
    ///
    /// A [`capacity`](Self::capacity) is the whole queue's and is divided evenly: a lane is full
    /// when its share is taken, and the overflow policy applies to it. Figures, flush, close and
    /// abort are the whole queue's. The sink is closed once, after the last lane has ended; one
    /// that answers `Closed` in one lane closes all of them.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use events_core::{Close, Memory, Sink};
    /// use events_queue::Queue;
    ///
    /// let memory = Arc::new(Memory::new());
    /// let queue = Queue::builder().lanes(4, |event: &(u32, u32)| event.0).spawn(memory.clone())?;
    /// for step in 0..10 {
    ///     queue.write(&(7, step))?;
    ///     queue.write(&(8, step))?;
    /// }
    /// queue.close().wait()?;
    /// let events = memory.take();
    /// let of_7: Vec<_> = events.iter().filter(|event| event.0 == 7).collect();
    /// assert!(events.len() == 20 && of_7.is_sorted());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lanes<K: Hash>(
        mut self,
        lanes: usize,
        key: impl Fn(&E) -> K + Send + Sync + 'static,
    ) -> Self {
        self.split = Some(Split { setting: "lanes", lanes, route: Route::by_key(key) });
        self
    }

    /// Delivers to the sink `events` at a time, in no order among them.
    ///
    /// As [`lanes`](Self::lanes), but an event goes to the lane with the most room when it is
    /// written: a queue is full when all of its lanes are. It stays in its lane, where a slow event
    /// before it delays it; and a writer that waits for room waits for that lane's.
    pub fn concurrency(mut self, events: usize) -> Self {
        self.split = Some(Split { setting: "concurrency", lanes: events, route: Route::by_room() });
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
}

impl<E, M> fmt::Debug for Builder<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .field("linger", &self.linger)
            .field("lanes", &self.split.as_ref().map_or(1, |split| split.lanes))
            .field("dead_letter", &self.dead_letter.is_some())
            .finish()
    }
}
