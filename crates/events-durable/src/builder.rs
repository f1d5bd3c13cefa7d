use std::{fmt, marker::PhantomData, path::PathBuf, sync::Arc, thread, time::Duration};

use events_core::{
    AsyncSink, Close, ConfigError, Event, ExponentialBackoff, Overflow, Progress, RetryStrategy,
    Sink, Verdict,
    engine::{
        AccountConfig, Batches, Blocking, Cursor, Deliver, Each, Linger, Worker, feed::Feed,
        park::block_on,
    },
};
use serde::de::DeserializeOwned;

use crate::{
    committer::Committer,
    delivery::{Burial, Delivery, Strategy},
    desk::{Desk, Policy},
    durability::Durability,
    ledger::Ledger,
    open_error::{OpenError, OpenErrorKind},
    queue::DurableQueue,
    row::Row,
    store::{Store, count_events, size},
    stored::Stored,
};

/// How many events are in memory at most, unless a batch needs more.
const WINDOW: usize = 1_024;
/// A file smaller than this has no room for its tables and some events.
const SMALLEST: u64 = 64 * 1024;

/// The sink is written to one event at a time: a sink of [`Stored<E>`].
#[derive(Debug, Clone, Copy)]
pub enum Single {}

/// The sink is written to in batches: a sink of `[Stored<E>]`.
#[derive(Debug, Clone, Copy)]
pub enum Batching {}

/// Sets up a [`DurableQueue`].
///
/// # Default
/// [`Durability::Full`]; as many events as the disk holds; with a bound, writers wait for room
/// ([`Overflow::Block`]). One event at a time, tried again with [`ExponentialBackoff`] for as long as
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
    path: PathBuf,
    name: Arc<str>,
    durability: Durability,
    capacity: Option<usize>,
    max_size: Option<u64>,
    overflow: Option<Overflow>,
    linger: Option<Linger>,
    strategy: Strategy<E>,
    mode: PhantomData<fn(E) -> M>,
}

impl<E: Event + DeserializeOwned> Builder<E, Single> {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            name: Arc::from("durable-queue"),
            durability: Durability::Full,
            capacity: None,
            max_size: None,
            overflow: None,
            linger: None,
            strategy: Arc::new(ExponentialBackoff::default()),
            mode: PhantomData,
        }
    }

    /// Writes to a sink of `[Stored<E>]`, up to `max` events at a time; an event waits at most
    /// `linger` for others to join it, not at all if that is zero.
    ///
    /// A batch succeeds or fails as one. It is smaller where its events are large: some megabytes
    /// of them are in memory at a time.
    pub fn batch(self, max: usize, linger: Duration) -> Builder<E, Batching> {
        Builder {
            path: self.path,
            name: self.name,
            durability: self.durability,
            capacity: self.capacity,
            max_size: self.max_size,
            overflow: self.overflow,
            linger: Some(Linger { events: max, limit: linger }),
            strategy: self.strategy,
            mode: PhantomData,
        }
    }

    /// Opens the file and starts a thread that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened.
    pub fn spawn(self, sink: impl Sink<Stored<E>> + 'static) -> Result<DurableQueue<E>, OpenError> {
        let sink = Arc::new(sink);
        self.start_thread(Arc::clone(&sink) as _, Each(Blocking(sink)))
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
        let (queue, worker) = self.build(Arc::clone(&sink) as _, Each(sink), true)?;
        Ok((queue, worker.run()))
    }

    /// Opens the file and spawns a task on the current tokio runtime that delivers to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, no runtime, or a file that cannot be opened.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<Stored<E>> + 'static,
    ) -> Result<DurableQueue<E>, OpenError> {
        let runtime = self.current_runtime()?;
        let (queue, worker) = self.pair(sink)?;
        runtime.spawn(worker);
        Ok(queue)
    }
}

impl<E: Event + DeserializeOwned> Builder<E, Batching> {
    /// Opens the file and starts a thread that delivers batches to `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, or a file that cannot be opened.
    pub fn spawn(
        self,
        sink: impl Sink<[Stored<E>]> + 'static,
    ) -> Result<DurableQueue<E>, OpenError> {
        let sink = Arc::new(sink);
        self.start_thread(Arc::clone(&sink) as _, Batches(Blocking(sink)))
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
        let (queue, worker) = self.build(Arc::clone(&sink) as _, Batches(sink), true)?;
        Ok((queue, worker.run()))
    }

    /// Opens the file and spawns a task on the current tokio runtime that delivers batches to
    /// `sink`.
    ///
    /// # Errors
    /// A setting that makes no sense, no runtime, or a file that cannot be opened.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(
        self,
        sink: impl AsyncSink<[Stored<E>]> + 'static,
    ) -> Result<DurableQueue<E>, OpenError> {
        let runtime = self.current_runtime()?;
        let (queue, worker) = self.pair(sink)?;
        runtime.spawn(worker);
        Ok(queue)
    }
}

impl<E: Event + DeserializeOwned, M> Builder<E, M> {
    /// What to call the queue in traces, and its threads.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// What a write that is `Ok` has survived.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// At most this many events are pending, waiting or being delivered; at least 1.
    pub const fn capacity(mut self, events: usize) -> Self {
        self.capacity = Some(events);
        self
    }

    /// The file takes up to about this many bytes, dead letters included; at least 64 KiB. The
    /// write-ahead log beside it takes up to some megabytes more.
    pub const fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// What a write to a full queue does. Needs a [`capacity`](Self::capacity) or a
    /// [`max_size`](Self::max_size).
    pub const fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = Some(overflow);
        self
    }

    /// Whether and when an event, or a batch, is offered again that the sink may take later: after an
    /// error of a [kind](events_core::ErrorKind::is_retryable) such as
    /// [`Unavailable`](events_core::ErrorKind::Unavailable) or
    /// [`Full`](events_core::ErrorKind::Full). Meanwhile all that comes after it waits too.
    ///
    /// What the strategy gives up is a dead letter. Default: [`ExponentialBackoff`], which never
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
        self.strategy = Arc::new(strategy);
        self
    }

    /// Offers each event once: every error makes it a dead letter, unless the destination is
    /// [gone](events_core::ErrorKind::Closed). For a sink that has done all it can when it fails.
    pub fn no_retry(self) -> Self {
        self.retry(Once)
    }

    #[cfg(feature = "tokio")]
    fn current_runtime(&self) -> Result<tokio::runtime::Handle, OpenError> {
        tokio::runtime::Handle::try_current().map_err(|_| {
            let error = ConfigError::new("spawn_tokio", "must be called inside a tokio runtime");
            OpenError::setting(&self.path, error)
        })
    }

    fn start_thread<D: Deliver<Stored<E>> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<DurableQueue<E>, OpenError> {
        let path = self.path.clone();
        let thread = thread::Builder::new().name(self.name.to_string());
        let (queue, worker) = self.build(sink, deliver, false)?;
        thread.spawn(move || block_on(worker.run())).map_err(|e| no_thread(&path, e))?;
        Ok(queue)
    }

    fn build<D: Deliver<Stored<E>> + 'static>(
        self,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> Result<Built<E, D>, OpenError> {
        let overflow = self.check().map_err(|error| OpenError::setting(&self.path, error))?;
        let store = Store::open(&self.path, self.durability)?;
        let sqlite = |error| OpenError::sqlite(&self.path, error);
        let pending = count_events(&store.connection).map_err(sqlite)?;
        let (used, _) = size(&store.connection).map_err(sqlite)?;

        let linger = self.linger.unwrap_or(Linger::NONE);
        let span = linger.events.min(self.capacity.unwrap_or(usize::MAX));
        let linger = Linger {
            // A full queue has no more to wait for.
            events: if linger.limit.is_zero() { 1 } else { span },
            limit: linger.limit,
        };
        // SQLite counts no further.
        let window = WINDOW.max(span.saturating_mul(2)).min(i64::MAX as usize);
        let ledger = Ledger::new(store.next_seq, pending, window);
        let policy = Policy {
            capacity: self.capacity.map_or(u64::MAX, |capacity| capacity as u64),
            max_size: self.max_size.unwrap_or(u64::MAX),
            overflow,
        };
        let desk = Arc::new(Desk::new(policy, ledger, used));

        let chunk = if self.linger.is_some() { span } else { Feed::<Row>::CHUNK };
        let reader = Arc::new(Feed::with_chunks(chunk)).reader(None);
        let ended = Arc::clone(&desk);
        let parts = AccountConfig {
            sink,
            dead_letter: Some(Arc::new(Burial(Arc::clone(&desk)))),
            name: Arc::clone(&self.name),
            owns_feed: true,
            driven_by_future,
            span: span as u64,
            disconnect: false,
            cursor: Arc::new(Cursor::new(0, None)),
            on_end: Some(Box::new(move |result| ended.worker_ended(result))),
            on_abort: None,
        };
        let deliver = Delivery::new(deliver, Arc::clone(&desk), Arc::clone(&self.strategy));
        let (account, worker) = Worker::new(reader, deliver, linger, parts);
        let committer =
            Committer::new(store, self.path.clone(), Arc::clone(&desk), Arc::clone(&account));
        thread::Builder::new()
            .name(format!("{}-disk", self.name))
            .spawn(move || committer.run())
            .map_err(|error| no_thread(&self.path, error))?;
        Ok((DurableQueue::new(account, desk, self.path), worker))
    }

    fn check(&self) -> Result<Overflow, ConfigError> {
        let refuse = |setting, problem: &str| Err(ConfigError::new(setting, problem));
        if self.name.contains('\0') {
            return refuse("name", "must not contain a NUL byte");
        }
        if self.capacity == Some(0) {
            return refuse("capacity", "must be at least 1, was 0");
        }
        if self.max_size.is_some_and(|size| size < SMALLEST) {
            return refuse("max_size", "must be at least 64 KiB");
        }
        if self.overflow.is_some() && self.capacity.is_none() && self.max_size.is_none() {
            return refuse("overflow", "needs a capacity or a max_size to be full at");
        }
        if self.overflow == Some(Overflow::BlockFor(Duration::ZERO)) {
            return refuse("overflow", "must block for more than zero; use Overflow::Reject");
        }
        if let Some(linger) = self.linger {
            linger.check()?;
        }
        Ok(self.overflow.unwrap_or_default())
    }
}

/// One attempt, and no other.
struct Once;

impl<E: ?Sized> RetryStrategy<E> for Once {
    fn proceed(&self, _event: &E, progress: &Progress) -> Verdict {
        if progress.attempts() == 0 { Verdict::Go } else { Verdict::GiveUp }
    }
}

/// A queue, and the worker that is still to be driven.
type Built<E, D> = (DurableQueue<E>, Worker<Row, Delivery<E, D>>);

fn no_thread(path: &std::path::Path, error: std::io::Error) -> OpenError {
    OpenError::new(OpenErrorKind::Io, path).with_source(error)
}

impl<E, M> fmt::Debug for Builder<E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("path", &self.path)
            .field("name", &self.name)
            .field("durability", &self.durability)
            .field("capacity", &self.capacity)
            .field("max_size", &self.max_size)
            .field("overflow", &self.overflow)
            .field("linger", &self.linger)
            .finish_non_exhaustive()
    }
}
