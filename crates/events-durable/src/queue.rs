use std::{
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use events_core::{
    AsyncSink, Close, Closing, Event, Sink, SinkError, Stats,
    engine::{Account, clock, park::block_on},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    builder::{Builder, Single},
    dead_letters::{DeadLetters, Which},
    desk::{Command, Desk},
    encoding::encode,
    open_error::OpenError,
    reply::Reply,
    row::Row,
    spool::Spool,
    stored::Stored,
    waiting::answered,
};

/// A queue on disk: a write is `Ok` once the event is committed to the file, and the backlog
/// survives the process.
///
/// A handle: clones share the queue, and it implements both [`Sink`] and [`AsyncSink`]. Writers
/// that come together share one commit. A worker, a thread or a future, delivers in order to the
/// sink behind it, and goes on where it stood when the file is opened again: **at least once, in
/// order**. A process that ends suddenly delivers the last events again; their
/// [ids](Stored::id) stay the same.
///
/// Events are stored as JSON, and the sink is given what comes back from there, also in the
/// process that wrote it. A write looks whether it does come back: an event that would not, or as
/// another one, is `Rejected`, such as a number that is not finite, a `Some(None)`, or what is nested
/// more than 127 deep. That is judged by what the event tells serde: a field that it skips, and the
/// variant of an `untagged` enum, are not seen.
///
/// Dropping the last handle closes the queue without waiting: it goes on delivering as long as the
/// process lives, and what is left stays in the file.
///
/// A write whose future is dropped is taken back, unless its commit has begun: then the event is
/// in the queue or not, as after any interrupted request.
///
/// # Failing
/// What the sink may take [later](events_core::ErrorKind::is_retryable), such as `Unavailable`, is
/// tried again until it is taken, and all that comes after it waits: nothing is lost, and nothing
/// overtakes. What it refuses for good, and an event over which it panics, is a
/// [dead letter](Self::dead_letters), and the next one is delivered. A sink that is `Closed` ends
/// the queue, and the events stay in the file.
///
/// A [`close`](Close::close) waits for a destination that is down; its `Ok` says that every event
/// was delivered or became a dead letter.
///
/// # Default
/// Durable against power failure, as large as the disk, one event at a time, tried again with
/// [`ExponentialBackoff`](events_core::ExponentialBackoff).
/// [`builder`](Self::builder) has the rest.
///
/// ```
/// use std::sync::Arc;
/// use events_core::{Close, Memory, Sink};
/// use events_durable::{DurableQueue, Plain};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let memory = Arc::new(Memory::<String>::new());
/// let queue = DurableQueue::spawn(Plain::new(Arc::clone(&memory)), path)?;
/// queue.write(&"started".to_owned())?; // on the disk
/// queue.close().wait()?; // delivered
/// assert_eq!(memory.events(), ["started"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DurableQueue<E> {
    handle: Arc<Handle>,
    event: PhantomData<fn(&E)>,
}

/// What all handles share; neither worker nor committer holds it, so that the last handle's drop is
/// seen.
struct Handle {
    account: Arc<Account<Row>>,
    desk: Arc<Desk>,
    path: PathBuf,
}

impl<E: Event + DeserializeOwned> DurableQueue<E> {
    /// Opens or creates the file at `path`; the worker is a thread.
    ///
    /// # Errors
    /// The file cannot be opened: see [`OpenErrorKind`](crate::OpenErrorKind).
    pub fn spawn(
        sink: impl Sink<Stored<E>> + 'static,
        path: impl Into<PathBuf>,
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
        path: impl Into<PathBuf>,
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
        path: impl Into<PathBuf>,
    ) -> Result<Self, OpenError> {
        Self::builder(path).spawn_tokio(sink)
    }

    /// Durability, bounds, overflow policy, batches and name, for a queue in the file at `path`.
    pub fn builder(path: impl Into<PathBuf>) -> Builder<E, Single> {
        Builder::new(path.into())
    }
}

impl<E> DurableQueue<E> {
    pub(crate) fn new(account: Arc<Account<Row>>, desk: Arc<Desk>, path: PathBuf) -> Self {
        Self { handle: Arc::new(Handle { account, desk, path }), event: PhantomData }
    }

    /// A barrier: ends once every event accepted before is delivered, dropped or a dead letter,
    /// and that is on the disk. The queue stays open, and what the sink itself buffers is not
    /// waited for.
    pub fn flush(&self) -> Closing<'_> {
        let slot = self.handle.desk.flush();
        self.handle.account.feed().hurry();
        Closing::new(answered(slot, &self.handle.account))
    }

    /// [`close`](Close::close), but at the end of `limit` the delivery stops: the sink is
    /// [aborted](Close::abort), and what it has not committed stays in the file for the next run.
    /// It ends a moment after the limit at the latest, however stuck the sink.
    ///
    /// The limit counts from now. It is kept by whoever waits for the [`Closing`]; if nobody does,
    /// the close goes on without it.
    ///
    /// # Errors
    /// [`Undelivered`](events_core::ErrorKind::Undelivered), with the number of events kept.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        let handle = &*self.handle;
        handle.desk.close();
        let deadline = clock::sleep(limit);
        Closing::new(async move {
            if let Some(outcome) = clock::before(handle.end(), deadline).await {
                return outcome;
            }
            tracing::warn!(queue = handle.account.name(), "the close ran into its deadline");
            handle.abort();
            handle.end().await
        })
    }

    /// What became of the events of this run, and of those it found in the file: they are
    /// accepted too, as are dead letters put back. After a close, what is pending is kept in the
    /// file for the next run.
    pub fn stats(&self) -> Stats {
        self.handle.desk.stats()
    }

    /// The queue's name in traces, and that of its thread.
    pub fn name(&self) -> &str {
        self.handle.account.name()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.handle.path
    }

    /// A look inside the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spool(&self) -> Result<Spool, OpenError> {
        Spool::open(&self.handle.path)
    }

    /// The events that the sink refused for good, and those that do not decode, in the order they
    /// were written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dead_letters(&self) -> Result<DeadLetters, OpenError> {
        Ok(self.spool()?.dead_letters())
    }

    /// Puts dead letters back, behind all that waits, whatever the bounds of the queue: how many.
    ///
    /// ```
    /// use events_core::{Close, Sink, SinkError, sink_fn};
    /// use events_durable::{DurableQueue, Stored, Which};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("events.db");
    /// let refused = sink_fn(|_: &Stored<String>| Err(SinkError::rejected("no such user")));
    /// let queue = DurableQueue::spawn(refused, path)?;
    /// queue.write(&"signed up".to_owned())?;
    /// queue.flush().wait()?;
    /// assert_eq!(queue.replay(Which::All).wait()?, 1);
    /// queue.flush().wait()?;
    /// let dead = queue.dead_letters()?.next().unwrap()?;
    /// assert_eq!(dead.attempts(), 2);
    /// assert_eq!(dead.error(), "the event was rejected: no such user");
    /// assert_eq!(dead.event::<String>()?, "signed up");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replay(&self, which: Which) -> Reply {
        Reply::new(self.handle.desk.command(|slot| Command::Replay(which, slot)))
    }

    /// Throws dead letters away: how many.
    pub fn purge(&self, which: Which) -> Reply {
        Reply::new(self.handle.desk.command(|slot| Command::Purge(which, slot)))
    }
}

impl<E: Serialize + DeserializeOwned> DurableQueue<E> {
    async fn commit(&self, event: &E) -> Result<(), SinkError> {
        let Handle { account, desk, .. } = &*self.handle;
        desk.lock().check_open()?;
        let text = encode(event)?;
        if let Some(waiting) = desk.offer(text.into())? {
            return waiting.committed(account).await;
        }
        tracing::warn!(queue = account.name(), "dropped the newest event: the queue is full");
        Ok(())
    }
}

impl<E: Event + Serialize + DeserializeOwned> Sink<E> for DurableQueue<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        block_on(self.commit(event))
    }
}

impl<E: Event + Serialize + DeserializeOwned> AsyncSink<E> for DurableQueue<E> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.commit(event)
    }
}

impl<E> Close for DurableQueue<E> {
    fn close(&self) -> Closing<'_> {
        self.handle.desk.close();
        Closing::new(self.handle.end())
    }

    /// Stops the delivery; what the sink has not committed stays in the file for the next run.
    fn abort(&self) {
        self.handle.abort();
    }
}

impl Handle {
    fn abort(&self) {
        self.desk.abort();
        self.account.abort();
    }

    /// How the worker and then the committer ended.
    async fn end(&self) -> Result<(), SinkError> {
        match self.account.end().await {
            Err(error) if !self.account.has_ended() => Err(error),
            _ => self.desk.finished().await,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.desk.close();
    }
}

impl<E> Clone for DurableQueue<E> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), event: PhantomData }
    }
}

impl<E> fmt::Debug for DurableQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableQueue")
            .field("name", &self.name())
            .field("path", &self.path())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
