//! The feed: one shared log under every queue and broadcaster.
//!
//! Writers push events into an **open** chunk under one short lock. A reader that needs more takes
//! the lock once, **seals** what is open into a shared [`Chunk`] and reads it without the lock,
//! without a clone and without a reference count for each event. Chunks adapt by themselves: one
//! event when the feed is sparse, up to 128 under a flood. An idle feed owns none.
//!
//! The log owns the sealed chunks and counts, for each, the readers that need it *next*. The front
//! one goes when nobody does, or when only bounded readers do and it lies behind the largest
//! bound. So a stuck bounded reader keeps no more than the chunk it is in, and an unbounded one
//! keeps what it has not read. Events are always dropped outside the lock.
//!
//! A queue is a feed with one reader; a broadcaster is a feed with many. This module is for those
//! who build such things: an application wants `events-queue` or `events-broadcast`.
//!
//! ```
//! use events_core::engine::{feed::Feed, park::block_on};
//! use std::{future::poll_fn, sync::Arc};
//!
//! let feed = Arc::new(Feed::new());
//! let mut reader = Feed::reader(&feed, None);
//! feed.push("one").unwrap();
//! feed.push("two").unwrap();
//! let chunk = block_on(poll_fn(|cx| reader.poll_chunk(cx, 1))).unwrap();
//! assert_eq!(**chunk, ["one", "two"]);
//! ```

mod chunk;
mod log;
mod reader;
mod room;
#[cfg(test)]
mod tests;
mod wait_queue;
mod weights;

use std::{
    fmt,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

pub use chunk::Chunk;
use log::{Aftermath, Log};
pub(crate) use reader::Leftover;
pub use reader::Reader;
use room::Room;
pub use room::{SizeOf, Weigher};
pub use wait_queue::WaitQueue;

use crate::{
    engine::{cursor::Cursor, waker_set::WakeList},
    error::ErrorKind,
    runtime::{
        dispose::{self, dispose},
        sync::{Arc, AtomicU64, Mutex, Ordering},
    },
};

/// How many events at most share a chunk, unless they are large.
const CHUNK_EVENTS: usize = 128;
/// How many bytes of events at most share a chunk, where an event is not larger itself.
const CHUNK_BYTES: usize = 16 * 1024;

/// A log of events that any number of readers share. See the [module](self) for how it works.
pub struct Feed<E> {
    log: Mutex<Log<E>>,
    /// The log's head, to be read without the lock.
    head: AtomicU64,
    /// How many readers there are, to be read without the lock.
    readers: AtomicU64,
    room: Option<Room<E>>,
}

/// Why a feed did not take an event, with the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused<E> {
    /// The feed is closed.
    Closed(E),
    /// The feed has no room.
    Full(E),
}

impl<E> Default for Feed<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> Feed<E> {
    /// A feed that takes every event.
    pub fn new() -> Self {
        Self::with_chunks(Self::CHUNK)
    }

    /// How many events at most share a chunk, unless told otherwise: 128, fewer if they are large.
    pub const CHUNK: usize = {
        let fit = CHUNK_BYTES / if size_of::<E>() == 0 { 1 } else { size_of::<E>() };
        if fit == 0 {
            1
        } else if fit < CHUNK_EVENTS {
            fit
        } else {
            CHUNK_EVENTS
        }
    };

    /// A feed whose chunks hold at most `limit` events (at least one), whatever their size.
    pub fn with_chunks(limit: usize) -> Self {
        Self {
            log: Mutex::new(Log::new(limit.max(1))),
            head: AtomicU64::new(0),
            readers: AtomicU64::new(0),
            room: None,
        }
    }

    /// The same feed, which refuses an event while `capacity` of them are written and not yet
    /// settled at `cursor`, that of its one reader.
    pub fn bounded(mut self, capacity: u64, cursor: Arc<Cursor>) -> Self {
        self.room = Some(Room::new(capacity, cursor, None));
        self
    }

    /// The same, bounded in bytes as well: see [`Weigher`].
    pub fn weighed(mut self, capacity: u64, cursor: Arc<Cursor>, weigher: Weigher<E>) -> Self {
        self.room = Some(Room::new(capacity, cursor, Some(weigher)));
        self
    }

    /// The sequence number of the next event: how many have been written.
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.log.lock().closed
    }

    /// When the first event at or after `at` was written, if it is still in the log.
    pub fn since(&self, at: u64) -> Option<Instant> {
        self.log.lock().since(at)
    }

    /// Writes one event. Without a reader it is dropped: nobody will ask for it.
    ///
    /// # Errors
    /// The event, if the feed is closed or has no room.
    pub fn push(&self, event: E) -> Result<(), Refused<E>> {
        if let Some(room) = &self.room {
            return self.push_bounded(room, event);
        }
        let mut log = self.log.lock();
        if log.closed {
            return Err(Refused::Closed(event));
        }
        if !log.has_readers() {
            log.count_unread();
            self.head.store(log.head(), Ordering::Release);
            drop(log);
            // Outside the lock, as every event: its drop is not ours to know.
            dispose(event);
            return Ok(());
        }
        let aftermath = log.append(event);
        self.head.store(log.head(), Ordering::Release);
        drop(log);
        if let Some(aftermath) = aftermath {
            aftermath.deal_with();
        }
        Ok(())
    }

    /// The same, where there may be no room.
    fn push_bounded(&self, room: &Room<E>, event: E) -> Result<(), Refused<E>> {
        // Before the lock, since how large an event is may be somebody else's to say.
        let bytes = room.weigh(&event);
        let mut log = self.log.lock();
        if log.closed {
            return Err(Refused::Closed(event));
        }
        if !log.wait_queue.is_empty() || !room.is_in(&mut log, bytes) {
            // A full log has no more to linger for, however few events those are.
            let sleepers = room.is_weighed().then(|| log.hurry_once());
            drop(log);
            sleepers.into_iter().for_each(WakeList::wake);
            return Err(Refused::Full(event));
        }
        if !log.has_readers() {
            log.count_unread();
            self.head.store(log.head(), Ordering::Release);
            drop(log);
            dispose(event);
            return Ok(());
        }
        let aftermath = room.append(&mut log, event, bytes);
        self.head.store(log.head(), Ordering::Release);
        drop(log);
        if let Some(aftermath) = aftermath {
            aftermath.deal_with();
        }
        Ok(())
    }

    /// These events are settled, in whatever order; [`push`](Self::push) finds out by itself how far
    /// a reader has come that settles them in theirs.
    pub(crate) fn settle_bytes(&self, numbers: impl Iterator<Item = u64>) {
        if let Some(room) = &self.room
            && room.is_weighed()
        {
            self.log.lock().weights.settle(numbers);
        }
    }

    /// Joins the wait queue for room with an event that [`push`](Self::push) called too many.
    ///
    /// # Errors
    /// The event, if the feed is closed.
    pub fn wait_for_room(self: &Arc<Self>, event: E) -> Result<Ticket<E>, Refused<E>> {
        let bytes = self.room.as_ref().map_or(0, |room| room.weigh(&event));
        let mut log = self.log.lock();
        if log.closed {
            return Err(Refused::Closed(event));
        }
        let number = log.wait_queue.enqueue((event, bytes), Waker::noop().clone());
        drop(log);
        if let Some(room) = &self.room {
            room.cursor().notify();
        }
        // The reader may have made room just before it could see the line.
        self.admit();
        Ok(Ticket { feed: Arc::clone(self), number: Some(number) })
    }

    /// Lets in those who wait for room, as far as there is some. True if others still wait.
    pub fn admit(&self) -> bool {
        let Some(room) = &self.room else { return false };
        let mut wake = Vec::new();
        let mut aftermaths = Vec::new();
        let mut log = self.log.lock();
        while let Some(bytes) = log.wait_queue.first().map(|(_, bytes)| *bytes)
            && room.is_in(&mut log, bytes)
        {
            let Some(((event, bytes), waker)) = log.wait_queue.admit() else { break };
            aftermaths.extend(room.append(&mut log, event, bytes));
            self.head.store(log.head(), Ordering::Release);
            wake.push(waker);
        }
        let waiting = !log.wait_queue.is_empty();
        let sleepers = (waiting && room.is_weighed()).then(|| log.hurry_once());
        drop(log);
        sleepers.into_iter().for_each(WakeList::wake);
        aftermaths.into_iter().for_each(Aftermath::deal_with);
        wake.into_iter().for_each(dispose::wake);
        waiting
    }

    /// Takes no more events. Readers end once they have read all, writers that wait for room are sent
    /// away.
    pub fn close(&self) {
        let mut log = self.log.lock();
        log.closed = true;
        let sleepers = log.wake();
        let waiting = log.wait_queue.clear();
        drop(log);
        sleepers.wake();
        for ((event, _), waker) in waiting {
            dispose::wake(waker);
            dispose(event);
        }
    }

    /// Has readers that linger take what is there.
    pub fn hurry(&self) {
        let sleepers = self.log.lock().hurry();
        sleepers.wake();
    }

    /// A reader that starts at the head. With a `bound` it skips what lies further behind.
    pub fn reader(self: &Arc<Self>, bound: Option<u64>) -> Reader<E> {
        let mut log = self.log.lock();
        let next = log.add_reader_at_head(bound);
        let at = log.head();
        self.readers.fetch_add(1, Ordering::Release);
        drop(log);
        Reader::new(Arc::clone(self), next, at, bound)
    }

    /// Whether anybody reads.
    pub fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// The chunks that are still in the log and hold what lies at or after `at`.
    pub fn from(&self, at: u64) -> Vec<Arc<Chunk<E>>> {
        self.log.lock().from(at)
    }
}

impl<E> fmt::Debug for Feed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// A place in the line for room. Dropping it takes the event back, unless it was let in.
pub struct Ticket<E> {
    feed: Arc<Feed<E>>,
    number: Option<u64>,
}

impl<E> Ticket<E> {
    /// Ready once the event was let in, or with `Closed` once the feed has closed without it.
    pub fn poll_admitted(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorKind>> {
        let Some(number) = self.number else { return Poll::Ready(Ok(())) };
        let mut waker = cx.waker().clone();
        let poll = self.feed.log.lock().wait_queue.poll(number, &mut waker);
        let admitted = ready!(poll);
        self.number = None;
        Poll::Ready(if admitted { Ok(()) } else { Err(ErrorKind::Closed) })
    }

    /// Waits no longer: takes the event back and answers `Full`, unless the wait is over already.
    ///
    /// # Errors
    /// `Full` or `Closed`: the event is not in the feed.
    pub fn cancel(mut self) -> Result<(), ErrorKind> {
        let Some(number) = self.number.take() else { return Ok(()) };
        // Asked and left under one lock: between two, the event might be let in after all.
        let mut log = self.feed.log.lock();
        let left = log.wait_queue.cancel(number);
        let admitted = left.is_none() && log.wait_queue.was_admitted(number);
        drop(log);
        match left {
            Some(_) => Err(ErrorKind::Full),
            None if admitted => Ok(()),
            None => Err(ErrorKind::Closed),
        }
    }
}

impl<E> Drop for Ticket<E> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            // The lock is released at the end of this line, before anything is dropped.
            let left = self.feed.log.lock().wait_queue.cancel(number);
            drop(left);
        }
    }
}

impl<E> fmt::Debug for Ticket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("number", &self.number).finish_non_exhaustive()
    }
}
