use std::{fmt, path::Path, time::Duration};

use events_core::{AsyncSink, Close, Closing, Event, Sink, SinkError, Stats, engine::Mode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    completion::Completion,
    consumer::Consumer,
    dead_letters::{DeadLetters, Which},
    log::DurableLog,
    open_error::OpenError,
    spool::Spool,
};

/// A queue on disk: a write is `Ok` once the event is committed to the file, and the backlog
/// survives the process.
///
/// It is a [`DurableLog`](crate::DurableLog) with one consumer, and ends with it. A handle: clones share the queue, and it implements both [`Sink`] and [`AsyncSink`]. Writers
/// that come together share one commit. A worker, a thread or a future, delivers in order to the
/// sink behind it, and goes on where it stood when the file is opened again: **at least once, in
/// order**. A process that ends suddenly delivers the last events again; their
/// [ids](crate::Stored::id) stay the same.
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
pub struct DurableQueue<E: Event> {
    log: DurableLog<E>,
    consumer: Consumer<E>,
}

impl<E: Event> DurableQueue<E> {
    pub(crate) const fn new(log: DurableLog<E>, consumer: Consumer<E>) -> Self {
        Self { log, consumer }
    }

    /// A barrier: ends once every event accepted before is delivered, dropped or a dead letter,
    /// and that is on the disk. The queue stays open, and what the sink itself buffers is not
    /// waited for.
    pub fn flush(&self) -> Closing<'_> {
        self.consumer.flush()
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
        self.log.close_within(limit)
    }

    /// What became of the events of this run, and of those it found in the file: they are
    /// accepted too, as are dead letters put back. After a close, what is pending is kept in the
    /// file for the next run.
    pub fn stats(&self) -> Stats {
        let unwritten = self.log.stats().dropped;
        let mut stats = self.consumer.stats();
        stats.accepted += unwritten;
        stats.dropped.overflow += unwritten;
        stats
    }

    /// Delivers nothing more until [`resume`](Self::resume). What is in the sink's hands goes on.
    /// A close ends it.
    pub fn pause(&self) {
        self.consumer.pause();
    }

    /// Delivers again after a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.consumer.resume();
    }

    /// Delivers nothing more until [`enable`](Self::enable), in later runs too: see
    /// [`Consumer::disable`].
    pub fn disable(&self) {
        self.consumer.disable();
    }

    /// Delivers again after it was [disabled](Self::disable), by an operator or by
    /// [`disable_after`](crate::Builder::disable_after).
    pub fn enable(&self) {
        self.consumer.enable();
    }

    /// Whether it delivers, is paused or disabled.
    pub fn mode(&self) -> Mode {
        self.consumer.mode()
    }

    /// The queue's name in traces, and that of its thread.
    pub fn name(&self) -> &str {
        self.log.name()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.log.path()
    }

    /// A look inside the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spool(&self) -> Result<Spool, OpenError> {
        self.log.spool()
    }

    /// The events that the sink refused for good, and those that do not decode, in the order they
    /// were written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dead_letters(&self) -> Result<DeadLetters, OpenError> {
        self.consumer.dead_letters()
    }

    /// Puts dead letters back, to be delivered as soon as there is room, whatever the bounds of the
    /// queue: how many.
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
    pub fn replay(&self, which: Which) -> Completion {
        self.consumer.replay(which)
    }

    /// Throws dead letters away: how many.
    pub fn purge(&self, which: Which) -> Completion {
        self.consumer.purge(which)
    }

    /// The log that it is.
    pub const fn log(&self) -> &DurableLog<E> {
        &self.log
    }
}

impl<E: Event + Serialize + DeserializeOwned> Sink<E> for DurableQueue<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        Sink::write(&self.log, event)
    }
}

impl<E: Event + Serialize + DeserializeOwned> AsyncSink<E> for DurableQueue<E> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        AsyncSink::write(&self.log, event)
    }
}

/// The batch is committed as a whole or not at all.
impl<E: Event + Serialize + DeserializeOwned> Sink<[E]> for DurableQueue<E> {
    fn write(&self, events: &[E]) -> Result<(), SinkError> {
        Sink::write(&self.log, events)
    }
}

/// The batch is committed as a whole or not at all.
impl<E: Event + Serialize + DeserializeOwned> AsyncSink<[E]> for DurableQueue<E> {
    fn write(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        AsyncSink::write(&self.log, events)
    }
}

impl<E: Event> Close for DurableQueue<E> {
    fn close(&self) -> Closing<'_> {
        self.log.close()
    }

    /// Stops the delivery; what the sink has not committed stays in the file for the next run.
    fn abort(&self) {
        self.log.abort();
    }
}

impl<E: Event> Clone for DurableQueue<E> {
    fn clone(&self) -> Self {
        Self { log: self.log.clone(), consumer: self.consumer.clone() }
    }
}

impl<E: Event> fmt::Debug for DurableQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableQueue")
            .field("name", &self.name())
            .field("path", &self.path())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
