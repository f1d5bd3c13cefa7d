use std::{fmt, hash::Hash, marker::PhantomData, sync::Arc, time::Duration};

use events_core::{
    AsyncSink, Breaker, Event, RetryStrategy, Schedule, Sink,
    engine::{Batches, Blocking, Each, Linger},
};

use crate::{
    consumer::Consumer,
    consumer_config::{ConsumerConfig, Once},
    log_state::LogState,
    open_error::OpenError,
    start::Start,
    stored::Stored,
};

/// The sink is written to one event at a time: a sink of [`Stored<E>`].
#[derive(Debug, Clone, Copy)]
pub enum Single {}

/// The sink is written to in batches: a sink of `[Stored<E>]`.
#[derive(Debug, Clone, Copy)]
pub enum Batching {}

/// Sets up a [`Consumer`]: see [`DurableLog::consumer`](crate::DurableLog::consumer).
///
/// # Default
/// From the earliest event that is kept, one event at a time, each tried again in line with
/// [`ExponentialBackoff`](events_core::ExponentialBackoff) for as long as the sink is unavailable.
///
/// ```
/// use std::time::Duration;
/// use events_core::{Close, Memory, Sink};
/// use events_durable::{DurableLog, Plain, Schedule};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let log = DurableLog::<(u32, String)>::open(path)?;
/// let hooks = log
///     .consumer("hooks")
///     .concurrency(32) // deliveries at a time,
///     .ordered_by(|(customer, _)| *customer) // of which no two are of the same customer,
///     .redeliver(Schedule::standard_webhooks()) // and one that fails holds up nobody else
///     .spawn(Plain::new(Memory::new()))?;
/// log.write(&(7, "signed up".to_owned()))?;
/// hooks.flush().wait()?;
/// log.close().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ConsumerBuilder<E, M> {
    log: Arc<LogState<E>>,
    config: ConsumerConfig<E>,
    mode: PhantomData<fn(E) -> M>,
}

impl<E: Event> ConsumerBuilder<E, Single> {
    pub(crate) fn new(log: Arc<LogState<E>>, name: Arc<str>) -> Self {
        Self { log, config: ConsumerConfig::new(name), mode: PhantomData }
    }

    /// Writes to a sink of `[Stored<E>]`, up to `max` events at a time; an event waits at most
    /// `linger` for others to join it, not at all if that is zero.
    ///
    /// Of a batch only the events that its error [names](events_core::SinkError::failures) have
    /// failed; all of them, if it names none. It is smaller where its events are large: some
    /// megabytes of them are in memory at a time.
    pub fn batch(mut self, max: usize, linger: Duration) -> ConsumerBuilder<E, Batching> {
        self.config.linger = Some(Linger { events: max, limit: linger });
        ConsumerBuilder { log: self.log, config: self.config, mode: PhantomData }
    }

    /// Finds the consumer in the file, or creates it, and starts a thread, or one for each delivery
    /// at a time, that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense; a consumer of this name runs already; the log is closed, or
    /// the file cannot be written.
    pub fn spawn(self, sink: impl Sink<Stored<E>> + 'static) -> Result<Consumer<E>, OpenError> {
        let sink = Arc::new(sink);
        self.config.start_threads(&self.log, Arc::clone(&sink) as _, Each(Blocking(sink)))
    }

    /// The consumer, and a future to be spawned on any executor that delivers to `sink`.
    ///
    /// Nothing is delivered unless it is polled. Dropping it ends the consumer, and what is pending
    /// stays in the file.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn).
    pub fn pair(
        self,
        sink: impl AsyncSink<Stored<E>> + 'static,
    ) -> Result<(Consumer<E>, impl Future<Output = ()> + Send + 'static), OpenError> {
        let sink = Arc::new(sink);
        self.config.start_paired(&self.log, Arc::clone(&sink) as _, Each(sink))
    }

    /// Finds the consumer in the file, or creates it, and spawns a task on the current tokio
    /// runtime, or one for each delivery at a time, that delivers to `sink`.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn), or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<Stored<E>> + 'static,
    ) -> Result<Consumer<E>, OpenError> {
        let sink = Arc::new(sink);
        self.config.start_tasks(&self.log, Arc::clone(&sink) as _, Each(sink))
    }
}

impl<E: Event> ConsumerBuilder<E, Batching> {
    /// Finds the consumer in the file, or creates it, and starts a thread, or one for each delivery
    /// at a time, that delivers batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense; a consumer of this name runs already; the log is closed, or
    /// the file cannot be written.
    pub fn spawn(self, sink: impl Sink<[Stored<E>]> + 'static) -> Result<Consumer<E>, OpenError> {
        let sink = Arc::new(sink);
        self.config.start_threads(&self.log, Arc::clone(&sink) as _, Batches(Blocking(sink)))
    }

    /// The consumer, and a future to be spawned on any executor that delivers batches to `sink`.
    ///
    /// Nothing is delivered unless it is polled. Dropping it ends the consumer, and what is pending
    /// stays in the file.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn).
    pub fn pair(
        self,
        sink: impl AsyncSink<[Stored<E>]> + 'static,
    ) -> Result<(Consumer<E>, impl Future<Output = ()> + Send + 'static), OpenError> {
        let sink = Arc::new(sink);
        self.config.start_paired(&self.log, Arc::clone(&sink) as _, Batches(sink))
    }

    /// Finds the consumer in the file, or creates it, and spawns a task on the current tokio
    /// runtime, or one for each delivery at a time, that delivers batches to `sink`.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn), or no runtime.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<[Stored<E>]> + 'static,
    ) -> Result<Consumer<E>, OpenError> {
        let sink = Arc::new(sink);
        self.config.start_tasks(&self.log, Arc::clone(&sink) as _, Batches(sink))
    }
}

impl<E: Event, M> ConsumerBuilder<E, M> {
    /// Where it begins to read the first time. A consumer that the file knows goes on where it
    /// stands.
    pub const fn start(mut self, start: Start) -> Self {
        self.config.start = start;
        self
    }

    /// Up to so many deliveries at a time; at least 1. No event waits while one of them is free,
    /// and none keeps the order, unless it is [`ordered_by`](Self::ordered_by) a key.
    pub const fn concurrency(mut self, deliveries: usize) -> Self {
        self.config.concurrency = Some(deliveries);
        self
    }

    /// Events of the same key are delivered one after the other, in the order they were written;
    /// nobody else waits for them.
    ///
    /// The file remembers, by a hash of the key, which events wait behind one that is parked. Two
    /// keys with the same hash count as one.
    pub fn ordered_by<K: Hash>(mut self, key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        self.config.order_by(key);
        self
    }

    /// Delivers an event again whose delivery failed in a way that may get better
    /// ([`is_retryable`](events_core::ErrorKind::is_retryable)): it is parked on the disk until the
    /// schedule says, and the others go on. When the schedule ends, it is a dead letter.
    ///
    /// Attempts, errors and due times survive the process. A parked event is pending: a flush and a
    /// close wait for it, and [`close_within`](Consumer::close_within) keeps it.
    ///
    /// ```
    /// use std::{sync::atomic::{AtomicU32, Ordering}, time::Duration};
    /// use events_core::{Close, Sink, SinkError, sink_fn};
    /// use events_durable::{DurableLog, Schedule, Stored};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("events.db");
    /// let flaky = sink_fn(|event: &Stored<u32>| match event.attempts() {
    ///     0 => Err(SinkError::unavailable("503")),
    ///     _ => Ok(()),
    /// });
    /// let log = DurableLog::open(path)?;
    /// let soon = Schedule::delays([Duration::from_millis(1)]);
    /// let hooks = log.consumer("hooks").redeliver(soon).spawn(flaky)?;
    /// log.write(&7)?;
    /// log.close().wait()?;
    /// assert_eq!((hooks.stats().delivered, hooks.stats().attempts), (1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redeliver(mut self, schedule: Schedule) -> Self {
        self.config.schedule = Some(schedule);
        self
    }

    /// While the destination is down as `breaker` sees it, nothing is delivered but a probe now and
    /// then, and no event spends its attempts. Needs [`redeliver`](Self::redeliver).
    pub fn circuit(mut self, breaker: Breaker) -> Self {
        self.config.circuit = Some(Arc::new(breaker));
        self
    }

    /// Once all deliveries have failed for so long, it is [disabled](Consumer::disable), and told
    /// so once as an error in `tracing`; [`enable`](Consumer::enable) ends that.
    pub const fn disable_after(mut self, limit: Duration) -> Self {
        self.config.disable_after = Some(limit);
        self
    }

    /// Whether and when an event, or a batch, is offered again in line that the sink may take later,
    /// after an error of a [kind](events_core::ErrorKind::is_retryable) such as
    /// [`Unavailable`](events_core::ErrorKind::Unavailable): all that comes after it waits too.
    ///
    /// What the strategy gives up is a dead letter. The default never does. Of a batch only the
    /// events that its error names are tried again.
    pub fn retry(mut self, strategy: impl RetryStrategy<[Stored<E>]> + 'static) -> Self {
        self.config.strategy = Some(Arc::new(strategy));
        self
    }

    /// Offers each event once: every error makes it a dead letter, unless the destination is
    /// [gone](events_core::ErrorKind::Closed). For a sink that has done all it can when it fails.
    pub fn no_retry(self) -> Self {
        self.retry(Once)
    }
}

impl<E, M> fmt::Debug for ConsumerBuilder<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("name", &self.config.name)
            .field("start", &self.config.start)
            .finish_non_exhaustive()
    }
}
