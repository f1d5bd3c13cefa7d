use std::{
    error::Error,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use events_core::{
    Event,
    engine::{
        TraceLimit,
        feed::{Chunk, Reader},
        park::block_on,
    },
};

use crate::{
    lag::Lag,
    presence::{Leaves, Presence},
};

/// Receives every event written after it subscribed, for code that wants to pull.
///
/// On a thread, iterate over it or call [`blocking_recv`](Self::blocking_recv); in a task,
/// [`recv`](Self::recv); with the feature `futures` it is a `Stream`. It ends once the broadcaster is closed and all is received; dropping it
/// unsubscribes. A close of the broadcaster does not wait for it.
///
/// An item is `Err` when events were skipped, as its [`Lag`] says: [`Missed`] tells how many, and
/// the next item goes on after them.
///
/// ```
/// use events_broadcast::Broadcaster;
/// use events_core::{Close, Sink};
///
/// let all = Broadcaster::new();
/// let events = all.subscribe();
/// all.write(&"one")?;
/// all.write(&"two")?;
/// all.close().wait()?;
/// assert_eq!(events.into_iter().collect::<Result<Vec<_>, _>>()?, ["one", "two"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Subscription<E> {
    reader: Reader<E>,
    chunk: Option<Arc<Chunk<E>>>,
    disconnects: bool,
    ended: bool,
    missed: u64,
    lagged: TraceLimit,
    _present: Present,
}

/// Is counted among those who are there, until dropped.
struct Present(Arc<Presence>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.leave(Leaves::ByChoice);
    }
}

/// How many events a [`Subscription`] skipped, because it was slower than its [`Lag`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed(u64);

impl Missed {
    /// How many events.
    pub const fn count(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the subscriber lagged and missed {} events", self.0)
    }
}

impl Error for Missed {}

impl<E> Subscription<E> {
    pub(crate) fn new(reader: Reader<E>, lag: Lag, presence: Arc<Presence>) -> Self {
        presence.join();
        Self {
            reader,
            chunk: None,
            disconnects: lag.disconnects(),
            ended: false,
            missed: 0,
            lagged: TraceLimit::new(),
            _present: Present(presence),
        }
    }

    /// How many events it has missed so far.
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    /// How many events wait to be received.
    pub fn pending(&self) -> u64 {
        if self.ended { 0 } else { self.reader.feed().head().saturating_sub(self.reader.at()) }
    }
}

impl<E: Event + Clone> Subscription<E> {
    /// The next event; `None` at the end.
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Result<E, Missed>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event; `None` at the end. Blocks its thread until then: in a task use
    /// [`recv`](Self::recv).
    pub fn blocking_recv(&mut self) -> Option<Result<E, Missed>> {
        block_on(self.recv())
    }

    /// The next event, if there is one now.
    pub fn try_recv(&mut self) -> Option<Result<E, Missed>> {
        match self.poll_recv(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<E, Missed>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let lag = self.reader.lag();
            if lag > 0 {
                return Poll::Ready(Some(Err(self.skip(lag))));
            }
            let at = self.reader.at();
            if let Some(event) = self.chunk.as_ref().and_then(|chunk| chunk.from(at).first()) {
                let event = event.clone();
                self.reader.advance_to(at + 1);
                return Poll::Ready(Some(Ok(event)));
            }
            self.chunk = None;
            self.chunk = ready!(self.reader.poll_chunk(cx, 1));
            self.ended = self.chunk.is_none();
        }
    }

    fn skip(&mut self, lag: u64) -> Missed {
        let missed = if self.disconnects {
            self.ended = true;
            self.chunk = None;
            self.reader.feed().head() - self.reader.at()
        } else {
            lag
        };
        self.reader.advance_to(self.reader.at() + missed);
        self.missed += missed;
        let disconnected = self.ended;
        self.lagged.tell(missed, |missed| {
            tracing::warn!(missed, disconnected, "a subscriber lags");
        });
        Missed(missed)
    }
}

impl<E: Event + Clone> IntoIterator for Subscription<E> {
    type Item = Result<E, Missed>;
    type IntoIter = Received<E>;

    fn into_iter(self) -> Received<E> {
        Received(self)
    }
}

/// The events of a [`Subscription`], to iterate over on a thread, which it blocks for each.
///
/// A type of its own, since `Subscription` may be a `Stream`, whose methods have the same names.
#[derive(Debug)]
pub struct Received<E>(Subscription<E>);

impl<E: Event + Clone> Iterator for Received<E> {
    type Item = Result<E, Missed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.blocking_recv()
    }
}

#[cfg(feature = "futures")]
#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<E: Event + Clone> futures_core::Stream for Subscription<E> {
    type Item = Result<E, Missed>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl<E> fmt::Debug for Subscription<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("pending", &self.pending())
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
