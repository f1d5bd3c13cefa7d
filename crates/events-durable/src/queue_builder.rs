use std::{
    fmt,
    hash::Hash,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use events_core::{
    AsyncSink, Breaker, Close, Event, Overflow, RetryStrategy, Schedule, Sink,
    engine::{Batches, Blocking, Deliver, Each, Linger},
};
use serde::de::DeserializeOwned;

use crate::{
    consumer_builder::{Batching, Single},
    consumer_config::{ConsumerConfig, Once},
    durability::Durability,
    log::DurableLog,
    log_builder::LogBuilder,
    open_error::OpenError,
    queue::DurableQueue,
    stored::Stored,
    tables::QUEUE,
};

/// Sets up a [`DurableQueue`].
///
/// # Default
/// [`Durability::Full`]; as many events as the disk holds; with a bound, writers wait for room
/// ([`Overflow::Block`]). One event at a time, tried again with [`ExponentialBackoff`](events_core::ExponentialBackoff) for as long as
/// the sink is unavailable.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use events_core::{Close, Sink, sink_fn};
/// use events_durable::{DurableQueue, Overflow, Stored};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let sink = sink_fn(|batch: &[Stored<u32>]| {
///     assert!(batch.len() <= 100);
///     Ok(())
/// });
/// let queue = DurableQueue::builder(path)
///     .name("metrics")
///     .max_size(100 << 20)
///     .overflow(Overflow::DropOldest)
///     .batch(100, Duration::from_millis(50))
///     .spawn(sink)?;
/// for event in 0..10 {
///     queue.write(&event)?;
/// }
/// queue.close().wait()?;
/// assert_eq!(queue.stats().delivered, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Builder<E, M> {
    log: LogBuilder<E>,
    consumer: ConsumerConfig<E>,
    mode: PhantomData<fn(E) -> M>,
}

impl<E: Event + DeserializeOwned> DurableQueue<E> {
    /// Opens or creates the file at `path`; the worker is a thread.
    ///
    /// # Errors
    /// The file cannot be opened: see [`OpenErrorKind`](crate::OpenErrorKind).
    pub fn spawn(
        sink: impl Sink<Stored<E>> + 'static,
        path: impl AsRef<Path>,
    ) -> Result<Self, OpenError> {
        Self::builder(path).spawn(sink)
    }

    /// Opens or creates the file at `path`; the worker is a future to be spawned on any executor.
    ///
    /// Nothing is delivered unless the worker is polled. Dropping it closes the queue, and what is
    /// pending stays in the file.
    ///
    /// # Errors
    /// The file cannot be opened: see [`OpenErrorKind`](crate::OpenErrorKind).
    pub fn pair(
        sink: impl AsyncSink<Stored<E>> + 'static,
        path: impl AsRef<Path>,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), OpenError> {
        Self::builder(path).pair(sink)
    }

    /// Opens or creates the file at `path`; the worker is a task of the current tokio runtime.
    ///
    /// # Errors
    /// No runtime, or the file cannot be opened: see [`OpenErrorKind`](crate::OpenErrorKind).
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        sink: impl AsyncSink<Stored<E>> + 'static,
        path: impl AsRef<Path>,
    ) -> Result<Self, OpenError> {
        Self::builder(path).spawn_tokio(sink)
    }

    /// Durability, bounds, overflow policy, batches and name, for a queue in the file at `path`.
    pub fn builder(path: impl AsRef<Path>) -> Builder<E, Single> {
        Builder::new(path.as_ref().to_owned())
    }
}

impl<E: Event + DeserializeOwned> Builder<E, Single> {
    pub(crate) fn new(path: PathBuf) -> Self {
        let log = LogBuilder::new(path).name("durable-queue");
        let mut consumer = ConsumerConfig::new(Arc::from(QUEUE));
        consumer.ends_log = true;
        Self { log, consumer, mode: PhantomData }
    }

    /// Writes to a sink of `[Stored<E>]`, up to `max` events at a time; an event waits at most
    /// `linger` for others to join it, not at all if that is zero.
    ///
    /// A batch succeeds or fails as one, unless its error
    /// [names](events_core::SinkError::failures) those that failed. It is smaller where its events
    /// are large: some megabytes of them are in memory at a time.
    pub fn batch(mut self, max: usize, linger: Duration) -> Builder<E, Batching> {
        self.consumer.linger = Some(Linger { events: max, limit: linger });
        Builder { log: self.log, consumer: self.consumer, mode: PhantomData }
    }

    /// Opens the file and starts a thread, or one for each delivery at a time, that delivers to
    /// `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened.
    pub fn spawn(self, sink: impl Sink<Stored<E>> + 'static) -> Result<DurableQueue<E>, OpenError> {
        let sink = Arc::new(sink);
        self.start_threads(Arc::clone(&sink) as _, Each(Blocking(sink)))
    }

    /// The queue, and a future that delivers to `sink`: see [`DurableQueue::pair`].
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened.
    pub fn pair(
        self,
        sink: impl AsyncSink<Stored<E>> + 'static,
    ) -> Result<(DurableQueue<E>, impl Future<Output = ()> + Send + 'static), OpenError> {
        let sink = Arc::new(sink);
        self.start_paired(Arc::clone(&sink) as _, Each(sink))
    }

    /// Opens the file and spawns a task, or one for each delivery at a time, on the current tokio
    /// runtime that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, no runtime, or a file that cannot be opened.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<Stored<E>> + 'static,
    ) -> Result<DurableQueue<E>, OpenError> {
        let sink = Arc::new(sink);
        self.start_tasks(Arc::clone(&sink) as _, Each(sink))
    }
}

impl<E: Event + DeserializeOwned> Builder<E, Batching> {
    /// Opens the file and starts a thread, or one for each delivery at a time, that delivers
    /// batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened.
    pub fn spawn(
        self,
        sink: impl Sink<[Stored<E>]> + 'static,
    ) -> Result<DurableQueue<E>, OpenError> {
        let sink = Arc::new(sink);
        self.start_threads(Arc::clone(&sink) as _, Batches(Blocking(sink)))
    }

    /// The queue, and a future that delivers batches to `sink`: see [`DurableQueue::pair`].
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened.
    pub fn pair(
        self,
        sink: impl AsyncSink<[Stored<E>]> + 'static,
    ) -> Result<(DurableQueue<E>, impl Future<Output = ()> + Send + 'static), OpenError> {
        let sink = Arc::new(sink);
        self.start_paired(Arc::clone(&sink) as _, Batches(sink))
    }

    /// Opens the file and spawns a task, or one for each delivery at a time, on the current tokio
    /// runtime that delivers batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, no runtime, or a file that cannot be opened.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<[Stored<E>]> + 'static,
    ) -> Result<DurableQueue<E>, OpenError> {
        let sink = Arc::new(sink);
        self.start_tasks(Arc::clone(&sink) as _, Batches(sink))
    }
}

impl<E: Event + DeserializeOwned, M> Builder<E, M> {
    /// What to call the queue in traces, and its threads.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.log = self.log.name(name);
        self
    }

    /// What a write that is `Ok` has survived.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.log = self.log.durability(durability);
        self
    }

    /// At most this many events are pending, waiting, parked or being delivered; at least 1.
    pub fn capacity(mut self, events: usize) -> Self {
        self.log = self.log.capacity(events);
        self
    }

    /// The file takes up to about this many bytes, dead letters included; at least 64 KiB. The
    /// write-ahead log beside it takes up to some megabytes more.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.log = self.log.max_size(bytes);
        self
    }

    /// What a write to a full queue does. Needs a [`capacity`](Self::capacity) or a
    /// [`max_size`](Self::max_size).
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.log = self.log.overflow(overflow);
        self
    }

    /// Up to so many deliveries at a time; at least 1: see
    /// [`ConsumerBuilder::concurrency`](crate::ConsumerBuilder::concurrency).
    pub const fn concurrency(mut self, deliveries: usize) -> Self {
        self.consumer.concurrency = Some(deliveries);
        self
    }

    /// Events of the same key are delivered one after the other, in the order they were written;
    /// nobody else waits for them: see
    /// [`ConsumerBuilder::ordered_by`](crate::ConsumerBuilder::ordered_by).
    pub fn ordered_by<K: Hash>(mut self, key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        self.consumer.order_by(key);
        self
    }

    /// Parks an event whose delivery failed until the schedule says, while the others go on: see
    /// [`ConsumerBuilder::redeliver`](crate::ConsumerBuilder::redeliver).
    pub fn redeliver(mut self, schedule: Schedule) -> Self {
        self.consumer.schedule = Some(schedule);
        self
    }

    /// While the destination is down as `breaker` sees it, nothing is delivered but a probe now and
    /// then, and no event spends its attempts. Needs [`redeliver`](Self::redeliver).
    pub fn circuit(mut self, breaker: Breaker) -> Self {
        self.consumer.circuit = Some(Arc::new(breaker));
        self
    }

    /// Once all deliveries have failed for so long, the queue is
    /// [disabled](DurableQueue::disable), and told so once as an error in `tracing`;
    /// [`enable`](DurableQueue::enable) ends that.
    pub const fn disable_after(mut self, limit: Duration) -> Self {
        self.consumer.disable_after = Some(limit);
        self
    }

    /// Whether and when an event, or a batch, is offered again that the sink may take later: after an
    /// error of a [kind](events_core::ErrorKind::is_retryable) such as
    /// [`Unavailable`](events_core::ErrorKind::Unavailable) or
    /// [`Full`](events_core::ErrorKind::Full). Meanwhile all that comes after it waits too.
    ///
    /// What the strategy gives up is a dead letter. Default: [`ExponentialBackoff`](events_core::ExponentialBackoff), which never
    /// does. Of a batch only the events that its error names are tried again.
    ///
    /// A close waits for as long as that takes; [`close_within`](DurableQueue::close_within) and
    /// [`abort`](Close::abort) end the waiting at once, and the event stays in the file.
    ///
    /// ```
    /// use std::time::Duration;
    /// use events_core::{Breaker, Close, MaxElapsed, Sink, SinkError, sink_fn};
    /// use events_durable::{DurableQueue, Stored};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("events.db");
    /// let down = sink_fn(|_: &Stored<u32>| Err(SinkError::unavailable("no route to host")));
    /// let breaker = Breaker::new(3, Duration::from_millis(1))?;
    /// let queue = DurableQueue::builder(path)
    ///     .retry(MaxElapsed::new(breaker, Duration::from_millis(10))?)
    ///     .spawn(down)?;
    /// queue.write(&7)?;
    /// queue.close().wait()?;
    /// assert_eq!(queue.dead_letters()?.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retry(mut self, strategy: impl RetryStrategy<[Stored<E>]> + 'static) -> Self {
        self.consumer.strategy = Some(Arc::new(strategy));
        self
    }

    /// Offers each event once: every error makes it a dead letter, unless the destination is
    /// [gone](events_core::ErrorKind::Closed). For a sink that has done all it can when it fails.
    pub fn no_retry(self) -> Self {
        self.retry(Once)
    }

    fn start_threads<D: Deliver<Stored<E>>>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<DurableQueue<E>, OpenError> {
        let (log, consumer) = self.open()?;
        let consumer = consumer.start_threads(log.state(), sink, deliver)?;
        Ok(DurableQueue::new(log, consumer))
    }

    #[cfg(feature = "tokio")]
    fn start_tasks<D: Deliver<Stored<E>>>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<DurableQueue<E>, OpenError> {
        // Asked before there is a file.
        crate::consumer_config::current_runtime(self.log.path())?;
        let (log, consumer) = self.open()?;
        let consumer = consumer.start_tasks(log.state(), sink, deliver)?;
        Ok(DurableQueue::new(log, consumer))
    }

    fn start_paired<D: Deliver<Stored<E>>>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<(DurableQueue<E>, impl Future<Output = ()> + Send + 'static), OpenError> {
        let (log, consumer) = self.open()?;
        let (consumer, run) = consumer.start_paired(log.state(), sink, deliver)?;
        Ok((DurableQueue::new(log, consumer), run))
    }

    /// The log, and what its consumer is to be.
    fn open(self) -> Result<(DurableLog<E>, ConsumerConfig<E>), OpenError> {
        let Self { log, mut consumer, .. } = self;
        consumer.label = Arc::clone(log.label());
        consumer.capacity = log.max_pending().unwrap_or(usize::MAX);
        consumer.check().map_err(|error| OpenError::setting(log.path(), error))?;
        Ok((log.open()?, consumer))
    }
}

impl<E, M> fmt::Debug for Builder<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("log", &self.log).finish_non_exhaustive()
    }
}
