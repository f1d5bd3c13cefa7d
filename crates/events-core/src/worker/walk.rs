use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Poll,
};

use super::Member;
use crate::{Deliver, Event, feed::Chunk, outlet::Flow};

/// How many events a worker delivers before other tasks have a turn: what tokio grants a task.
///
/// In a model there are not that many.
const TURN: usize = if cfg!(loom) { 1 } else { 128 };

/// How far the pass of one chunk through the members has come.
///
/// Shared, within one task, by the future that makes the steps and the loop that polls it. That
/// loop isolates a whole turn rather than each call, since what a sink does is often very little.
pub(super) struct Walk {
    at: AtomicUsize,
    /// Where it ends: behind the last member, or behind the one that has to wait.
    end: AtomicUsize,
    spent: AtomicUsize,
    yields: AtomicBool,
    /// Whether there may be members whose accounts are to be ended.
    has_ended_some: AtomicBool,
}

impl Walk {
    pub(super) const fn new(members: usize, spent: usize) -> Self {
        Self {
            at: AtomicUsize::new(0),
            end: AtomicUsize::new(members),
            spent: AtomicUsize::new(spent),
            yields: AtomicBool::new(false),
            has_ended_some: AtomicBool::new(false),
        }
    }

    pub(super) async fn run<E, D>(&self, members: &[Member<E, D>], chunk: &Chunk<E>)
    where
        E: Event + Clone,
        D: Deliver<E>,
    {
        // Somebody may wait for each event of a sink that is alone, and it may be slow.
        let prompt = members.len() == 1;
        while self.at() < self.end.load(Ordering::Relaxed) {
            let member = &members[self.at()];
            let called = member.cursor.is_called();
            if (called && member.publish() == Flow::Stop)
                || member.deliver(chunk, prompt).await == Flow::Stop
                || member.is_at_end()
            {
                self.has_ended_some.store(true, Ordering::Relaxed);
            }
            self.at.store(self.at() + 1, Ordering::Relaxed);
            self.spent.store(self.spent() + chunk.len(), Ordering::Relaxed);
            if self.spent() >= TURN {
                self.end_turn().await;
            }
        }
    }

    /// Lets other tasks have a turn.
    async fn end_turn(&self) {
        self.spent.store(0, Ordering::Relaxed);
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            self.yields.store(true, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// The member it is with.
    pub(super) fn at(&self) -> usize {
        self.at.load(Ordering::Relaxed)
    }

    pub(super) fn spent(&self) -> usize {
        self.spent.load(Ordering::Relaxed)
    }

    /// Whether it waits for nothing but its next turn.
    pub(super) fn yields(&self) -> bool {
        self.yields.swap(false, Ordering::Relaxed)
    }

    /// Leaves out the members behind the one it is with, which has to wait; and whose account may be
    /// ended meanwhile.
    pub(super) fn goes_on_with_this(&self) -> usize {
        self.has_ended_some.store(true, Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
        self.end_before(self.at() + 1);
        self.at()
    }

    /// Leaves out member `end` and those behind it.
    pub(super) fn end_before(&self, end: usize) {
        self.end.store(end, Ordering::Relaxed);
    }

    pub(super) fn has_ended_some(&self) -> bool {
        self.has_ended_some.load(Ordering::Relaxed)
    }
}
