use std::{
    fmt,
    task::{Context, Poll, Waker},
};

use super::{
    Chunk, Feed,
    log::{Next, Unneeded},
};
use crate::{
    engine::waker_set::WakerKey,
    runtime::{
        dispose::{dispose, dispose_each},
        sync::{Arc, Ordering},
    },
};

/// A cursor in a [`Feed`]: hands out the chunks after its position, in order.
///
/// An unbounded reader keeps in memory what it has not read. A bounded one never holds up the
/// log's memory by more than its bound: it skips what lies further behind the head, and alone
/// decides how much that was, so that the count is exact (see [`lag`](Self::lag)).
///
/// A clone reads on from the same place on its own.
pub struct Reader<E> {
    feed: Arc<Feed<E>>,
    /// The number of the chunk it needs next.
    next: u64,
    /// The sequence number of the event it reads next.
    at: u64,
    bound: Option<u64>,
    ticket: Option<WakerKey>,
}

impl<E> Reader<E> {
    pub(super) fn new(feed: Arc<Feed<E>>, next: u64, at: u64, bound: Option<u64>) -> Self {
        Self { feed, next, at, bound, ticket: None }
    }

    /// The sequence number of the event it reads next.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Has read all before `at`; moving back is not possible.
    pub fn advance_to(&mut self, at: u64) {
        self.at = self.at.max(at);
    }

    /// How far behind the head it may read; `None` is without end.
    pub const fn bound(&self) -> Option<u64> {
        self.bound
    }

    /// How many events it has to skip to be within its bound again; 0 without a bound.
    ///
    /// The caller counts them and moves on with [`advance_to`](Self::advance_to).
    pub fn lag(&self) -> u64 {
        self.bound.map_or(0, |bound| self.feed.head().saturating_sub(self.at).saturating_sub(bound))
    }

    /// The next chunk that holds events at or after [`at`](Self::at); `None` once the feed is
    /// closed and all is read.
    ///
    /// A reader that lingers for more than one event gives a `wanted` above 1: until so many are
    /// there, or the feed is closed or [hurried](Feed::hurry), it waits.
    ///
    /// A bounded reader asks for its [`lag`](Self::lag) afterwards: the chunk may begin further on.
    pub fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Option<Arc<Chunk<E>>>> {
        self.poll_taking(cx, wanted, |_| None)
    }

    /// The next chunk, for a caller that holds a lock: what is to be dropped once that is released is
    /// added to `leftover`. If there is none yet, `waker` is taken, if there is one, to be woken then.
    pub(crate) fn poll_leaving(
        &mut self,
        waker: &mut Option<Waker>,
        wanted: usize,
        leftover: &mut Leftover<E>,
    ) -> Poll<Option<Arc<Chunk<E>>>> {
        self.poll_locked(waker, wanted, |_| None, leftover)
    }

    /// The same. Where the log has let go of the chunk, whoever looks afterwards finds it where
    /// `keep` has put it. What that put it in the place of is dropped outside the lock.
    pub(crate) fn poll_taking(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
        keep: impl FnOnce(&Arc<Chunk<E>>) -> Option<Arc<Chunk<E>>>,
    ) -> Poll<Option<Arc<Chunk<E>>>> {
        // Cloned before the lock is taken: what that does is the executor's business.
        let mut waker = Some(cx.waker().clone());
        let mut leftover = Leftover::new();
        let chunk = self.poll_locked(&mut waker, wanted, keep, &mut leftover);
        leftover.dispose();
        dispose(waker);
        chunk
    }

    fn poll_locked(
        &mut self,
        waker: &mut Option<Waker>,
        wanted: usize,
        keep: impl FnOnce(&Arc<Chunk<E>>) -> Option<Arc<Chunk<E>>>,
        leftover: &mut Leftover<E>,
    ) -> Poll<Option<Arc<Chunk<E>>>> {
        let Leftover { unneeded, replaced } = leftover;
        let mut log = self.feed.log.lock();
        let next = log.next(&mut self.next, self.at, self.bound, wanted, unneeded);
        if matches!(next, Next::Wait)
            && let Some(ours) = waker.take()
        {
            // One who lingers is woken for the first event, to start the clock, and for the last.
            let wanted = if log.open_len() == 0 { 1 } else { wanted };
            *replaced = log.sleepers(wanted).register(&mut self.ticket, ours);
        }
        if let Next::Chunk(chunk) = &next
            && let Some(before) = keep(chunk)
        {
            unneeded.push(before);
        }
        drop(log);
        match next {
            Next::Chunk(chunk) => Poll::Ready(Some(chunk)),
            Next::Wait => Poll::Pending,
            Next::End => Poll::Ready(None),
        }
    }

    /// The next chunk, if there is one now.
    pub fn try_chunk(&mut self) -> Option<Arc<Chunk<E>>> {
        let mut unneeded = Unneeded::new();
        let next = self.feed.log.lock().next(&mut self.next, self.at, self.bound, 1, &mut unneeded);
        drop(unneeded);
        if let Next::Chunk(chunk) = next { Some(chunk) } else { None }
    }

    /// The feed it reads.
    pub const fn feed(&self) -> &Arc<Feed<E>> {
        &self.feed
    }
}

/// What a poll leaves to be dropped outside of every lock.
pub(crate) struct Leftover<E> {
    unneeded: Unneeded<E>,
    replaced: Option<Waker>,
}

impl<E> Leftover<E> {
    pub(crate) fn new() -> Self {
        Self { unneeded: Unneeded::new(), replaced: None }
    }

    /// Drops it.
    pub(crate) fn dispose(self) {
        drop(self.unneeded);
        dispose(self.replaced);
    }
}

impl<E> Clone for Reader<E> {
    fn clone(&self) -> Self {
        let mut log = self.feed.log.lock();
        log.add_reader(self.next, self.bound);
        self.feed.readers.fetch_add(1, Ordering::Release);
        drop(log);
        Self::new(Arc::clone(&self.feed), self.next, self.at, self.bound)
    }
}

impl<E> Drop for Reader<E> {
    fn drop(&mut self) {
        let mut log = self.feed.log.lock();
        let waker = log.sleeping().cancel(&mut self.ticket);
        let (open, unneeded) = log.remove_reader(self.next, self.bound);
        self.feed.readers.fetch_sub(1, Ordering::Release);
        drop(log);
        dispose_each(open);
        drop(unneeded);
        dispose(waker);
    }
}

impl<E> fmt::Debug for Reader<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("at", &self.at)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
