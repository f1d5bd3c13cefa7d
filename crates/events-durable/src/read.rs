use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
};

use events_core::{
    Event,
    engine::{WakerKey, park::block_on},
};
use rusqlite::Connection;
use serde::de::DeserializeOwned;

use crate::{
    consumer_rows,
    encoding::{decode, describe_decoding},
    log_state::LogState,
    open_error::OpenError,
    schema,
    start::Start,
    store::page,
    stored::Stored,
};

/// How many events are read from the disk at a time, and bytes of them.
const PAGE: (usize, u64) = (1_024, 1 << 20);

/// Reads a log without being a consumer of it: see [`DurableLog::read`](crate::DurableLog::read).
///
/// As an iterator it blocks for what has yet to be written, and ends with the log; in a task, ask
/// [`next_event`](Self::next_event), or with the feature `futures` use it as a `Stream`.
/// [`history`](Self::history) ends with what is written so far.
///
/// It reads from the disk where it is asked, a thousand events at a time, which takes a
/// millisecond or so.
///
/// ```
/// use events_core::{Close, Sink};
/// use events_durable::{DurableLog, Start};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let log = DurableLog::<u32>::open(path)?;
/// (1..=5).try_for_each(|number| log.write(&number))?;
/// let mut read = log.read(Start::Last(2))?;
/// let old: Vec<_> = read.history().collect::<Result<_, _>>()?;
/// assert_eq!(old.iter().map(|event| **event).collect::<Vec<_>>(), [4, 5]);
///
/// log.write(&6)?;
/// assert_eq!(*read.next().unwrap()?, 6);
/// log.close().wait()?;
/// assert!(read.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Read<E> {
    log: Arc<LogState<E>>,
    connection: Connection,
    next: u64,
    page: VecDeque<Result<Stored<E>, ReadError>>,
    key: Option<WakerKey>,
    ended: bool,
}

/// Why there is no event where there should be one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// So many events were taken away by [`Retention`](crate::Retention) before they were read. It
    /// goes on with the next.
    #[error("{0} events were no longer kept when they were to be read")]
    Missed(u64),
    /// The event does not decode. It goes on with the next.
    #[error("event {seq}: {problem}")]
    Decode {
        /// The event's number in the log.
        seq: u64,
        /// What is wrong with it, without a word of its content.
        problem: String,
    },
    /// The file cannot be read. It ends.
    #[error(transparent)]
    Io(#[from] OpenError),
}

impl<E: Event + DeserializeOwned> Read<E> {
    pub(crate) fn open(log: Arc<LogState<E>>, start: Start) -> Result<Self, OpenError> {
        let connection = schema::open_to_read(&log.path)?;
        let head = log.commits.lock().head();
        let next = consumer_rows::place(&connection, &log.openings, start, head)
            .map_err(|error| OpenError::sqlite(&log.path, error))?;
        Ok(Self { log, connection, next, page: VecDeque::new(), key: None, ended: false })
    }

    /// The events that are written so far, and no more. Afterwards it goes on from there.
    pub fn history(&mut self) -> impl Iterator<Item = Result<Stored<E>, ReadError>> {
        let end = self.log.commits.lock().head();
        std::iter::from_fn(move || {
            if self.page.is_empty() && (self.next >= end || self.ended) {
                return None;
            }
            if self.page.is_empty() {
                self.load(end);
            }
            self.page.pop_front()
        })
    }

    /// The next event, as soon as there is one; `None` once the log has ended.
    pub async fn next_event(&mut self) -> Option<Result<Stored<E>, ReadError>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Stored<E>, ReadError>>> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.poll_head(cx)) {
                Some(head) => self.load(head),
                None => self.ended = true,
            }
        }
    }

    /// Up to where there are events, if there are any to read; `None` if there will be none.
    fn poll_head(&mut self, cx: &Context<'_>) -> Poll<Option<u64>> {
        // Declared before the lock, and so dropped after it: a waker is somebody else's code.
        let waker = cx.waker().clone();
        let mut state = self.log.commits.lock();
        if self.next < state.head() {
            return Poll::Ready(Some(state.head()));
        }
        if state.is_finished() {
            return Poll::Ready(None);
        }
        let replaced = state.readers().register(&mut self.key, waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Reads the next page, up to `end`.
    fn load(&mut self, end: u64) {
        let rows = page(&self.connection, self.next, end, PAGE.0, PAGE.1);
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                self.ended = true;
                let error = OpenError::sqlite(&self.log.path, error);
                return self.page.push_back(Err(error.into()));
            }
        };
        if rows.is_empty() {
            self.page.push_back(Err(ReadError::Missed(end - self.next)));
            self.next = end;
        }
        for row in rows {
            if row.seq > self.next {
                self.page.push_back(Err(ReadError::Missed(row.seq - self.next)));
            }
            self.next = row.seq + 1;
            self.page.push_back(match decode::<E>(&row.text) {
                Ok(event) => {
                    let id = self.log.openings.id(row.seq);
                    Ok(Stored::new(row.seq, id, row.written, Arc::new(event)))
                }
                Err(error) => {
                    let problem = describe_decoding(&error);
                    Err(ReadError::Decode { seq: row.seq, problem })
                }
            });
        }
    }
}

impl<E: Event + DeserializeOwned> Iterator for Read<E> {
    type Item = Result<Stored<E>, ReadError>;

    /// Blocks until there is a next event; `None` once the log has ended.
    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.next_event())
    }
}

#[cfg(feature = "futures")]
#[cfg_attr(docsrs, doc(cfg(feature = "futures")))]
impl<E: Event + DeserializeOwned> futures_core::Stream for Read<E> {
    type Item = Result<Stored<E>, ReadError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl<E> Drop for Read<E> {
    fn drop(&mut self) {
        let waker = self.log.commits.lock().cancel_reader(&mut self.key);
        drop(waker);
    }
}

impl<E> fmt::Debug for Read<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("next", &self.next).finish_non_exhaustive()
    }
}
