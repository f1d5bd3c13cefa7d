use std::{fmt, task::Waker};

use crate::{
    feed::Chunk,
    sync::{Arc, Mutex},
};

/// Where a worker sits: the chunk it holds, and how to get its attention.
///
/// Shared by the worker with the [outlets](crate::Outlet) of all sinks that it delivers to, so that
/// going to sleep and waking up costs the same however many they are.
pub(crate) struct Seat<E>(Mutex<State<E>>);

struct State<E> {
    /// The chunk that is being delivered. The log may have let it go.
    current: Option<Arc<Chunk<E>>>,
    worker: Option<Waker>,
    /// Somebody called since the worker last looked.
    called: bool,
}

impl<E> Seat<E> {
    pub(crate) fn new(current: Option<Arc<Chunk<E>>>) -> Self {
        Self(Mutex::new(State { current, worker: None, called: false }))
    }

    /// Names the worker's calls into its sinks: see [`isolate`](crate::isolate).
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn current(&self) -> Option<Arc<Chunk<E>>> {
        self.0.lock().current.clone()
    }

    /// The worker delivers `chunk` now, no more the one that is returned.
    pub(crate) fn enter(&self, chunk: &Arc<Chunk<E>>) -> Option<Arc<Chunk<E>>> {
        self.0.lock().current.replace(Arc::clone(chunk))
    }

    /// The worker has delivered what it held and is about to sleep. False if it was called: then
    /// it is to look after its outlets instead.
    pub(crate) fn rest(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        let before = state.current.take();
        let called = std::mem::replace(&mut state.called, false);
        let old = if called { None } else { state.hear(waker) };
        drop(state);
        drop((before, old));
        !called
    }

    /// The worker sleeps inside a sink and is woken when somebody calls.
    pub(crate) fn hear(&self, waker: &Waker) {
        let old = self.0.lock().hear(waker);
        drop(old);
    }

    /// Asks the worker to look after its outlets.
    pub(crate) fn call(&self) {
        let mut state = self.0.lock();
        state.called = true;
        let worker = state.worker.take();
        drop(state);
        worker.into_iter().for_each(Waker::wake);
    }
}

impl<E> State<E> {
    /// The waker it replaces is the caller's to drop, outside the lock: it may be the last to hold
    /// a task, and all that the task holds.
    fn hear(&mut self, waker: &Waker) -> Option<Waker> {
        if self.worker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        self.worker.replace(waker.clone())
    }
}

impl<E> fmt::Debug for Seat<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("current", &self.0.lock().current).finish_non_exhaustive()
    }
}
