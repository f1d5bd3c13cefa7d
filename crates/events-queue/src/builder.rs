use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    marker::PhantomData,
    sync::{Arc, LazyLock},
    time::Duration,
};

use events_core::{
    AsyncSink, Breaker, ConfigError, DeadLetter, Event, Overflow, Schedule, Sink,
    engine::{Batches, Blocking, Each, KeyOf, Linger, feed::SizeOf},
};

use crate::queue::Queue;

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
/// Unbounded; with a capacity, writers wait for room ([`Overflow::Block`]). One event at a time, and
/// one that fails is not tried again. No dead letter: what cannot be delivered is counted and told through `tracing`.
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
    pub(crate) bytes: Option<(usize, SizeOf<E>)>,
    pub(crate) overflow: Option<Overflow>,
    pub(crate) linger: Option<Linger>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) key: Option<KeyOf<E>>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) circuit: Option<Breaker>,
    pub(crate) disable_after: Option<Duration>,
    pub(crate) dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
    mode: PhantomData<fn() -> M>,
}

impl<E: Event + Clone> Queue<E> {
    /// Capacity, overflow policy, batches, order, redelivery, dead letter and name.
    pub fn builder() -> Builder<E, Single> {
        Builder::new()
    }
}

impl<E: Event + Clone> Builder<E, Single> {
    pub(crate) fn new() -> Self {
        Self {
            name: Arc::clone(&NAME),
            capacity: None,
            bytes: None,
            overflow: None,
            linger: None,
            concurrency: None,
            key: None,
            schedule: None,
            circuit: None,
            disable_after: None,
            dead_letter: None,
            mode: PhantomData,
        }
    }

    /// Writes to a sink of `[E]`, up to `max` events at a time; an event waits at most `linger`
    /// for others to join it, not at all if that is zero.
    ///
    /// A batch succeeds or fails as one, unless the sink's error [names](events_core::SinkError::failures)
    /// those that failed. With [`ordered_by`](Self::ordered_by), it may hold several events of a
    /// key, in order.
    pub fn batch(self, max: usize, linger: Duration) -> Builder<E, Batching> {
        Builder {
            name: self.name,
            capacity: self.capacity,
            bytes: self.bytes,
            overflow: self.overflow,
            linger: Some(Linger { events: max, limit: linger }),
            concurrency: self.concurrency,
            key: self.key,
            schedule: self.schedule,
            circuit: self.circuit,
            disable_after: self.disable_after,
            dead_letter: self.dead_letter,
            mode: PhantomData,
        }
    }

    /// Starts a thread, or one for each delivery at a time, that delivers to `sink`.
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
        self.start_paired(Arc::clone(&sink) as _, Each(sink))
    }

    /// Spawns a task, or one for each delivery at a time, on the current tokio runtime that delivers to `sink`.
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
    /// Starts a thread, or one for each delivery at a time, that delivers batches to `sink`.
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
        self.start_paired(Arc::clone(&sink) as _, Batches(sink))
    }

    /// Spawns a task, or one for each delivery at a time, on the current tokio runtime that delivers batches to
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
    /// What to call the queue in traces, and its thread; several are numbered.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// At most this many events are pending, waiting or being delivered; at least 1.
    pub fn capacity(mut self, events: usize) -> Self {
        self.capacity = Some(events);
        self
    }

    /// The pending events have at most this many bytes together, as `size` tells of each; at least 1. It
    /// may be set beside a [`capacity`](Self::capacity), and what a write to a full queue does is for
    /// [`overflow`](Self::overflow) to say as well.
    ///
    /// An event that is larger by itself is taken when nothing else is pending. `size` is called by the
    /// writer, once or twice an event; a panic in it is the writer's, whose event is not taken. What has
    /// been delivered is let go of in runs of up to a quarter of the limit, and what the sink has in its
    /// hands is never dropped, so that there may be so much more in memory.
    ///
    /// ```
    /// use events_core::{Close, Discard, ErrorKind, Sink};
    /// use events_queue::{Overflow, Queue};
    ///
    /// let queue = Queue::builder()
    ///     .capacity_bytes(1 << 20, |event: &Vec<u8>| event.len())
    ///     .overflow(Overflow::Reject)
    ///     .spawn(Discard::new())?;
    /// queue.write(&vec![0; 1 << 21])?; // Alone, it may be as large as it likes.
    /// queue.close().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn capacity_bytes(
        mut self,
        limit: usize,
        size: impl Fn(&E) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.bytes = Some((limit, Arc::new(move |event| size(event) as u64)));
        self
    }

    /// Delivers up to so many events, or batches, at a time, in no order among them.
    ///
    /// They are equals: as long as one of them has nothing to do, no event waits. Each is a thread,
    /// or a task; with [`pair`](Self::pair) one future drives all.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use events_core::{Close, Memory, Sink};
    /// use events_queue::Queue;
    ///
    /// let memory = Arc::new(Memory::new());
    /// let queue = Queue::builder().concurrency(4).spawn(memory.clone())?;
    /// for event in 0..100 {
    ///     queue.write(&event)?;
    /// }
    /// queue.close().wait()?;
    /// let mut events: Vec<u32> = memory.take();
    /// events.sort_unstable();
    /// assert!(events.into_iter().eq(0..100));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn concurrency(mut self, deliveries: usize) -> Self {
        self.concurrency = Some(deliveries);
        self
    }

    /// Delivers events with the same `key` one after the other, in the order in which they were
    /// written; nobody else waits for them.
    ///
    /// So an event that takes long, or is to be [delivered again](Self::redeliver), holds up those of
    /// its key and no others. Keys are compared by a hash of 64 bits: two that share one are ordered
    /// among each other as well. The key is taken by the worker; one that panics is its event's
    /// failure. Events that wait for their key cost about a hundred bytes besides themselves.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use events_core::{Close, Memory, Sink};
    /// use events_queue::Queue;
    ///
    /// let memory = Arc::new(Memory::new());
    /// let queue = Queue::builder()
    ///     .concurrency(4)
    ///     .ordered_by(|event: &(u32, u32)| event.0)
    ///     .spawn(memory.clone())?;
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
    pub fn ordered_by<K: Hash>(mut self, key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        // Always the same seed: there is nothing to guard, and a run can be repeated.
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        self.key = Some(Arc::new(move |event| hasher.hash_one(key(event))));
        self
    }

    /// Delivers an event again whose delivery failed in a way that may get better
    /// ([`is_retryable`](events_core::ErrorKind::is_retryable)): it is parked until the schedule says,
    /// and the others go on. When the schedule ends, the [dead letter](Self::dead_letter) gets it.
    ///
    /// A parked event is pending: it counts for the capacity, a flush and a close wait for it, and
    /// [`close_within`](Queue::close_within) gives it up. To wait in line instead, put a `Retry`
    /// around the sink.
    ///
    /// ```
    /// use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
    /// use events_core::{Close, Sink, SinkError, sink_fn};
    /// use events_queue::{Queue, Schedule};
    ///
    /// let calls = AtomicU32::new(0);
    /// let flaky = sink_fn(move |_event: &u32| match calls.fetch_add(1, Ordering::Relaxed) {
    ///     0 => Err(SinkError::unavailable("503")),
    ///     _ => Ok(()),
    /// });
    /// let schedule = Schedule::exponential(Duration::from_millis(1), Duration::from_secs(60));
    /// let queue = Queue::builder().redeliver(schedule.attempts(5)).spawn(flaky)?;
    /// queue.write(&7)?;
    /// queue.close().wait()?;
    /// assert_eq!(queue.stats().attempts, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redeliver(mut self, schedule: Schedule) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Pauses all deliveries while the destination is down, as `breaker` says: then one event is
    /// tried as a probe, and the others wait for its answer. A failure that opens the breaker, or
    /// finds it open, is none of the event's own attempts. Needs a [`redeliver`](Self::redeliver).
    pub fn circuit(mut self, breaker: Breaker) -> Self {
        self.circuit = Some(breaker);
        self
    }

    /// Disables the queue when every answer for so long was a failure: it delivers nothing more until
    /// somebody [enables](Queue::enable) it, and keeps what it has, within its capacity. Needs a
    /// [`redeliver`](Self::redeliver).
    pub fn disable_after(mut self, failing: Duration) -> Self {
        self.disable_after = Some(failing);
        self
    }

    /// What a write to a full queue does. Needs a [`capacity`](Self::capacity), or one
    /// [in bytes](Self::capacity_bytes).
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
            .field("capacity_bytes", &self.bytes.as_ref().map(|(limit, _)| limit))
            .field("overflow", &self.overflow)
            .field("linger", &self.linger)
            .field("concurrency", &self.concurrency)
            .field("ordered", &self.key.is_some())
            .field("schedule", &self.schedule)
            .field("circuit", &self.circuit)
            .field("disable_after", &self.disable_after)
            .field("dead_letter", &self.dead_letter.is_some())
            .finish()
    }
}
