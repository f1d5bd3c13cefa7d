//! Waiting, on threads and in tasks.

use std::{
    future::poll_fn,
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use events_core::engine::clock;
use parking_lot::Mutex;

/// Lets others go first, so many times.
pub(crate) async fn yield_times(times: u8) {
    for _ in 0..times {
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            thread::yield_now();
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// Waits so many microseconds, by the clock of whoever polls.
pub(crate) async fn nap(micros: u64) {
    clock::sleep(Duration::from_micros(micros)).await;
}

/// Holds up whoever passes, until it is opened for good.
#[derive(Debug, Default)]
pub(crate) struct Latch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_open: bool,
    waiting: Vec<Waker>,
}

impl Latch {
    pub(crate) fn open(&self) {
        let mut state = self.0.lock();
        state.is_open = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn pass(&self) {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if state.is_open {
                return Poll::Ready(());
            }
            // Each poll adds one, and whoever has gone is woken for nothing: both do no harm here.
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
