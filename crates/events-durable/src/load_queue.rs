use std::{sync::Arc, time::Instant};

use parking_lot::{Condvar, Mutex};

use crate::consumer_state::ConsumerState;

/// Which consumers lack events in memory.
#[derive(Debug)]
pub(crate) struct LoadQueue<E> {
    state: Mutex<State<E>>,
    /// Where the loader sleeps.
    work: Condvar,
}

#[derive(Debug)]
struct State<E> {
    hungry: Vec<Arc<ConsumerState<E>>>,
    /// Whether events were written: all consumers may want them.
    has_grown: bool,
    stopped: bool,
}

/// What the loader is to do.
#[derive(Debug)]
pub(crate) enum Load<E> {
    /// To look after these.
    Some(Vec<Arc<ConsumerState<E>>>),
    /// To look after all.
    All,
    Stop,
}

impl<E> LoadQueue<E> {
    pub(crate) fn new() -> Self {
        let state = State { hungry: Vec::new(), has_grown: false, stopped: false };
        Self { state: Mutex::new(state), work: Condvar::new() }
    }

    /// This consumer wants more, or is to be told that it is over.
    pub(crate) fn add(&self, consumer: &Arc<ConsumerState<E>>) {
        let mut state = self.state.lock();
        if !state.hungry.iter().any(|other| Arc::ptr_eq(other, consumer)) {
            state.hungry.push(Arc::clone(consumer));
        }
        drop(state);
        self.work.notify_one();
    }

    /// Events were written.
    pub(crate) fn grow(&self) {
        self.state.lock().has_grown = true;
        self.work.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.work.notify_one();
    }

    /// What to do next; at `alarm` something is due.
    pub(crate) fn next(&self, alarm: Option<Instant>) -> Load<E> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return Load::Stop;
            }
            if std::mem::take(&mut state.has_grown) {
                state.hungry.clear();
                return Load::All;
            }
            if !state.hungry.is_empty() {
                return Load::Some(std::mem::take(&mut state.hungry));
            }
            match alarm {
                Some(alarm) if alarm <= Instant::now() => return Load::All,
                Some(alarm) => drop(self.work.wait_until(&mut state, alarm)),
                None => self.work.wait(&mut state),
            }
        }
    }
}
