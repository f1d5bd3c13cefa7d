use std::{fmt, task::Waker};

use crate::{
    engine::feed::Chunk,
    runtime::{
        dispose::{self, dispose},
        sync::{Arc, Mutex},
    },
};

/// What others see of a worker: the chunk it holds, how to wake it, and whether they may join it.
///
/// The worker shares it with the [accounts](crate::engine::Account) of all sinks that it delivers
/// to, so that falling asleep and waking up costs the same however many they are; and all of it lies
/// under one lock, so that each costs no more than that.
pub(crate) struct WorkerHandle<E>(Mutex<State<E>>);

struct State<E> {
    /// The chunk that is being delivered. The log may have let it go.
    current: Option<Arc<Chunk<E>>>,
    /// Wakes the worker; absent while it is awake.
    worker: Option<Waker>,
    /// Somebody has notified the worker since it last looked.
    notified: bool,
    /// The sequence number at which the worker of a [group](crate::engine::Groups) has run dry;
    /// `None` while it delivers.
    idle_at: Option<u64>,
    /// Others have joined the worker since it last looked.
    joined: bool,
}

impl<E> WorkerHandle<E> {
    pub(crate) fn new(current: Option<Arc<Chunk<E>>>) -> Self {
        Self(Mutex::new(State {
            current,
            worker: None,
            notified: false,
            idle_at: None,
            joined: false,
        }))
    }

    /// Names the worker's calls into its sinks: see [`isolate`](crate::engine::isolate).
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn current(&self) -> Option<Arc<Chunk<E>>> {
        self.0.lock().current.clone()
    }

    /// The worker delivers `chunk` now, no more the one that is returned. With it: whether others
    /// have [joined](Self::try_join).
    pub(crate) fn hold(&self, chunk: &Arc<Chunk<E>>) -> (Option<Arc<Chunk<E>>>, bool) {
        let mut state = self.0.lock();
        let before = state.current.replace(Arc::clone(chunk));
        (before, state.resume())
    }

    /// The worker has ended, and holds nothing any more.
    pub(crate) fn let_go(&self) {
        let mut state = self.0.lock();
        let (chunk, waker) = (state.current.take(), state.worker.take());
        drop(state);
        drop(chunk);
        dispose(waker);
    }

    /// The worker goes on, without a chunk.
    pub(crate) fn resume(&self) {
        self.0.lock().resume();
    }

    /// The worker has delivered what it held and is about to sleep; if others may join, they are
    /// to have come as far as `idle_at`. False if it was notified: then it is not to sleep, but to
    /// look after its accounts.
    pub(crate) fn sleep(&self, waker: &Waker, idle_at: Option<u64>) -> bool {
        // What it holds, what it replaces and what it does not need is dropped after the lock.
        let mut waker = Some(waker.clone());
        let mut state = self.0.lock();
        let before = state.current.take();
        let notified = std::mem::replace(&mut state.notified, false);
        state.idle_at = idle_at.filter(|_| !notified);
        if !notified {
            std::mem::swap(&mut state.worker, &mut waker);
        }
        drop(state);
        dispose((before, waker));
        !notified
    }

    /// Whether those who have run dry at `at` may join, which the worker is to hear of then.
    pub(crate) fn try_join(&self, at: u64) -> bool {
        let mut state = self.0.lock();
        let may_join = state.idle_at == Some(at);
        state.joined |= may_join;
        may_join
    }

    /// The worker sleeps inside a sink, and is woken through `waker` when somebody notifies it.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waker = Some(waker.clone());
        std::mem::swap(&mut self.0.lock().worker, &mut waker);
        dispose(waker);
    }

    /// Wakes the worker and has it look after its accounts.
    pub(crate) fn notify(&self) {
        let mut state = self.0.lock();
        state.notified = true;
        let worker = state.worker.take();
        drop(state);
        worker.into_iter().for_each(dispose::wake);
    }
}

impl<E> State<E> {
    /// Nobody joins any more until the worker has run dry again. True if somebody has.
    fn resume(&mut self) -> bool {
        self.idle_at = None;
        std::mem::replace(&mut self.joined, false)
    }
}

impl<E> fmt::Debug for WorkerHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Out of the lock, under which nobody's formatter is called.
        let current = self.current();
        f.debug_struct("WorkerHandle").field("current", &current).finish_non_exhaustive()
    }
}
