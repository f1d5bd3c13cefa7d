use std::fmt;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use events_core::{Close, Closing, ConfigError, ErrorKind, Event, Sink, SinkError};
use parking_lot::RwLock;

/// A channel's room is laid out at once; more than this is a mistake, and could end the process.
const MOST_BYTES: usize = 1 << 30;

/// Hands events to code that wants to pull them, through a crossbeam channel.
///
/// The [`Receiver`] can be iterated, shared and used in `select!`. After
/// [`close`](Close::close) it yields what is buffered, then ends. A write to a full channel
/// blocks its thread until there is room or the channel closes; with all receivers gone it is
/// [`Closed`](ErrorKind::Closed).
///
/// ```
/// use events_core::{Close, Sink};
/// use events_queue::ChannelSink;
///
/// let (sink, events) = ChannelSink::bounded(16)?;
/// sink.write(&"one")?;
/// sink.write(&"two")?;
/// sink.close().wait()?;
/// assert_eq!(events.iter().collect::<Vec<_>>(), ["one", "two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ChannelSink<E> {
    /// `None` once closed.
    open: RwLock<Option<Open<E>>>,
    closed: Receiver<()>,
}

struct Open<E> {
    events: Sender<E>,
    /// Dropped at the close, which wakes the writers that wait.
    _closing: Sender<()>,
}

impl<E> ChannelSink<E> {
    /// Room for `capacity` events; with none, a write waits for a receiver to take its event.
    ///
    /// The room is laid out at once, so it has an end, at a GiB. [`unbounded`](Self::unbounded) takes
    /// memory as events come, and so does a [`Queue`](crate::Queue) of any capacity.
    ///
    /// # Errors
    /// A capacity that would take more than a GiB.
    pub fn bounded(capacity: usize) -> Result<(Self, Receiver<E>), ConfigError> {
        // An event beside the word that says whose turn it is.
        let bytes = capacity.checked_mul(size_of::<E>() + size_of::<usize>());
        if bytes.is_none_or(|bytes| bytes > MOST_BYTES) {
            let problem = format!("must take at most {MOST_BYTES} bytes, was {capacity} events");
            return Err(ConfigError::new("capacity", problem));
        }
        Ok(Self::new(bounded(capacity)))
    }

    /// A write that waits for a receiver to take its event.
    pub fn unbuffered() -> (Self, Receiver<E>) {
        Self::new(bounded(0))
    }

    /// Room for all: memory grows with what is not received.
    pub fn unbounded() -> (Self, Receiver<E>) {
        Self::new(unbounded())
    }

    fn new((events, receiver): (Sender<E>, Receiver<E>)) -> (Self, Receiver<E>) {
        let (closing, closed) = bounded(0);
        let open = RwLock::new(Some(Open { events, _closing: closing }));
        (Self { open, closed }, receiver)
    }

    /// Closes without waiting: there is nothing of its own to wait for.
    fn shut(&self) {
        let open = self.open.write().take();
        drop(open);
    }
}

impl<E: Event + Clone> Sink<E> for ChannelSink<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        let events = match &*self.open.read() {
            Some(open) => open.events.clone(),
            None => return Err(SinkError::closed()),
        };
        select! {
            send(events, event.clone()) -> sent => sent.map_err(|_| {
                SinkError::new(ErrorKind::Closed, "nobody receives any more")
            }),
            recv(self.closed) -> _ => Err(SinkError::closed()),
        }
    }
}

impl<E: Send + Sync> Close for ChannelSink<E> {
    fn close(&self) -> Closing<'_> {
        self.shut();
        Closing::done()
    }

    fn abort(&self) {
        self.shut();
    }
}

impl<E> fmt::Debug for ChannelSink<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.read();
        let (closed, buffered) =
            (open.is_none(), open.as_ref().map_or(0, |open| open.events.len()));
        // Nobody's formatter is called under a lock.
        drop(open);
        f.debug_struct("ChannelSink")
            .field("closed", &closed)
            .field("buffered", &buffered)
            .finish_non_exhaustive()
    }
}
