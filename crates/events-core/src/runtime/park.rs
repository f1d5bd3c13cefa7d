//! Runs a future on the calling thread: what lets one implementation serve threads and tasks.
//!
//! While a thread is inside [`block_on`], timers polled on it do not need a runtime: they tell the
//! thread when to wake by itself.

use std::{
    cell::Cell,
    pin::pin,
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use crate::runtime::sync::{
    Arc, AtomicBool, Ordering,
    thread::{self, Thread},
    thread_local,
};

thread_local! {
    /// What this thread's innermost `block_on` is to wake for. A cell has no destructor, so that a
    /// thread may wait in the destructor of another thread-local.
    static ALARM: Cell<Alarm> = const { Cell::new(Alarm::NotParked) };
}

#[derive(Clone, Copy)]
enum Alarm {
    /// This thread polls for some executor, not for a `block_on`.
    NotParked,
    /// The thread parks until it is woken, through the waker with this address, and at the latest
    /// until then.
    Parks { waker: *const (), until: Option<Instant> },
}

/// Wakes the thread once, however many wake-ups came before it parked.
///
/// The flag, not the thread's own token, carries the wake-up: a nested `block_on` on the same
/// thread may take the token.
struct Unpark {
    thread: Thread,
    notified: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.notified.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

/// Drives `future` to its end on this thread, which sleeps while there is nothing to do.
///
/// ```
/// assert_eq!(events_core::engine::park::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), notified: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    loop {
        let outer = Restore(ALARM.replace(Alarm::Parks { waker: waker.data(), until: None }));
        let poll = future.as_mut().poll(&mut cx);
        let alarm = ALARM.get();
        drop(outer);
        if let Poll::Ready(output) = poll {
            return output;
        }
        while !unpark.notified.swap(false, Ordering::AcqRel) {
            if let Alarm::Parks { until: Some(until), .. } = alarm {
                let Some(rest) = until.checked_duration_since(Instant::now()) else { break };
                thread::park_timeout(rest);
            } else {
                thread::park();
            }
        }
    }
}

/// Puts the outer alarm back, also when the poll panics.
struct Restore(Alarm);

impl Drop for Restore {
    fn drop(&mut self) {
        ALARM.set(self.0);
    }
}

/// Asks the `block_on` on this thread to poll again at `at`. False if it is not the one that polls
/// with `waker`: an executor between would not know which of its futures to poll then.
pub(crate) fn wake_by(at: Instant, waker: &Waker) -> bool {
    match ALARM.get() {
        Alarm::Parks { waker: ours, until } if ours == waker.data() => {
            let until = Some(until.map_or(at, |earlier| earlier.min(at)));
            ALARM.set(Alarm::Parks { waker: ours, until });
            true
        }
        _ => false,
    }
}

/// Calls what may bring an executor of its own, as a sink for threads may: what that polls is not
/// polled by the `block_on` around it.
pub(crate) fn outside<T>(call: impl FnOnce() -> T) -> T {
    let _inside = Restore(ALARM.replace(Alarm::NotParked));
    call()
}

/// Whether the current poll is one of a `block_on` on this thread.
#[cfg(feature = "tokio")]
pub(crate) fn is_blocking() -> bool {
    !matches!(ALARM.get(), Alarm::NotParked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, sync::mpsc, thread};

    #[test]
    fn a_wake_up_taken_by_a_nested_wait_is_not_lost() {
        let (outer_waker, wakers) = mpsc::channel::<Waker>();
        let (woken, inner_waits) = mpsc::channel();
        let waker = thread::spawn(move || {
            // Both wake-ups arrive while the nested wait is the one that sleeps.
            wakers.recv().unwrap().wake();
            let inner: Waker = wakers.recv().unwrap();
            inner.wake();
            woken.send(()).unwrap();
        });
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            outer_waker.send(cx.waker().clone()).unwrap();
            let mut inner_polls = 0;
            block_on(poll_fn(|cx| {
                inner_polls += 1;
                if inner_polls == 1 {
                    outer_waker.send(cx.waker().clone()).unwrap();
                    return Poll::Pending;
                }
                Poll::Ready(())
            }));
            inner_waits.recv().unwrap();
            Poll::Pending
        }));
        waker.join().unwrap();
        assert_eq!(polls, 2);
    }
}
