//! The time, and waiting for it, in whatever world the caller is.
//!
//! On a thread that waits in [`block_on`](crate::runtime::park::block_on) a timer is the thread's own
//! parking. Under tokio, with the feature `tokio`, it is tokio's, paused or not. Anywhere else each
//! wait takes a short-lived thread: slow, but right under every executor.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    thread,
    time::{Duration, Instant},
};

use crate::runtime::{
    park,
    sync::{Arc, Mutex},
};

/// The monotonic time; under tokio that of tokio's clock.
pub fn now() -> Instant {
    #[cfg(feature = "tokio")]
    if in_tokio() {
        return tokio::time::Instant::now().into_std();
    }
    Instant::now()
}

/// Ends after `wait`; a wait too long for the clock never ends.
pub fn sleep(wait: Duration) -> Sleep {
    // In a model no time passes.
    let until = if cfg!(loom) { None } else { now().checked_add(wait) };
    Sleep { until, timer: Timer::Unset }
}

/// Ends at `until`.
pub(crate) fn sleep_until(until: Instant) -> Sleep {
    // In a model no time passes.
    Sleep { until: Some(until).filter(|_| !cfg!(loom)), timer: Timer::Unset }
}

/// Whether tokio's clock and timers are to be used.
///
/// Not where tokio's thread-locals are gone, in the destructor of another: its clock would panic.
#[cfg(feature = "tokio")]
fn in_tokio() -> bool {
    !park::is_blocking() && tokio::runtime::Handle::try_current().is_ok()
}

/// Whether this poll blocks a thread inside an async runtime, which may be the very thread that
/// the awaited worker needs. Without the feature `tokio` no runtime is known, so: never.
pub fn blocks_a_runtime() -> bool {
    #[cfg(feature = "tokio")]
    if park::is_blocking() {
        return tokio::runtime::Handle::try_current().is_ok();
    }
    false
}

/// The output of `future`, unless `limit` ends first.
///
/// ```
/// use events_core::engine::{clock, park::block_on};
/// use std::{future::pending, time::Duration};
///
/// let limit = clock::sleep(Duration::from_millis(1));
/// assert_eq!(block_on(clock::before(pending::<()>(), limit)), None);
/// ```
pub async fn before<T>(
    future: impl Future<Output = T>,
    limit: impl Future<Output = ()>,
) -> Option<T> {
    let (mut future, mut limit) = (pin!(future), pin!(limit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            ready!(limit.as_mut().poll(cx));
            Poll::Ready(None)
        }
    })
    .await
}

/// The future of [`sleep`].
#[derive(Debug)]
pub struct Sleep {
    until: Option<Instant>,
    timer: Timer,
}

#[derive(Debug)]
enum Timer {
    Unset,
    #[cfg(feature = "tokio")]
    Tokio(Pin<Box<tokio::time::Sleep>>),
    Thread(Alarm),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Pending };
        if now() >= until {
            return Poll::Ready(());
        }
        if park::wake_by(until, cx.waker()) {
            return Poll::Pending;
        }
        #[cfg(feature = "tokio")]
        if in_tokio() {
            if !matches!(self.timer, Timer::Tokio(_)) {
                self.timer = Timer::Tokio(Box::pin(tokio::time::sleep_until(until.into())));
            }
            let Timer::Tokio(timer) = &mut self.timer else { return Poll::Pending };
            return timer.as_mut().poll(cx);
        }
        if let Timer::Thread(alarm) = &mut self.timer {
            alarm.set(cx.waker());
        } else {
            self.timer = Timer::Thread(Alarm::start(until, cx.waker()));
        }
        Poll::Pending
    }
}

/// A thread that wakes a task at a time, and ends early when nobody waits any more.
#[derive(Debug)]
struct Alarm {
    waker: Arc<Mutex<Waker>>,
    /// Absent if the operating system had no thread to give.
    thread: Option<thread::JoinHandle<()>>,
}

impl Alarm {
    fn start(until: Instant, waker: &Waker) -> Self {
        let shared = Arc::new(Mutex::new(waker.clone()));
        let ours = Arc::clone(&shared);
        let wake_in_time = move || {
            // The other owner is the `Sleep`: alone, the alarm has nobody to wake.
            while Arc::strong_count(&ours) > 1 {
                match until.checked_duration_since(Instant::now()) {
                    Some(rest) if !rest.is_zero() => thread::park_timeout(rest),
                    _ => break,
                }
            }
            // Taken out, since what a clone does is the executor's own business.
            let waker = std::mem::replace(&mut *ours.lock(), Waker::noop().clone());
            waker.wake();
        };
        let thread = thread::Builder::new().name("events-alarm".into()).spawn(wake_in_time).ok();
        let alarm = Self { waker: shared, thread };
        alarm.poll_without_a_thread(waker);
        alarm
    }

    fn set(&self, waker: &Waker) {
        // Cloned before the lock, and what it replaces dropped after.
        let mut replaced = waker.clone();
        std::mem::swap(&mut *self.waker.lock(), &mut replaced);
        drop(replaced);
        self.poll_without_a_thread(waker);
    }

    /// Has the task look at the clock again and again: slow, but it wakes up.
    fn poll_without_a_thread(&self, waker: &Waker) {
        if self.thread.is_none() {
            thread::yield_now();
            waker.wake_by_ref();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.waker = Arc::new(Mutex::new(Waker::noop().clone()));
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::park::block_on;
    use std::{sync::mpsc, task::Wake};

    #[test]
    fn a_thread_sleeps_without_a_runtime() {
        let start = Instant::now();
        block_on(sleep(Duration::from_millis(5)));
        assert!(start.elapsed() >= Duration::from_millis(5));
    }

    struct Tell(mpsc::Sender<()>);

    impl Wake for Tell {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

    #[test]
    fn an_executor_inside_a_waiting_thread_is_woken_itself() {
        let (tx, rx) = mpsc::channel();
        let waker = Waker::from(std::sync::Arc::new(Tell(tx)));
        block_on(async {
            let mut sleep = std::pin::pin!(sleep(Duration::from_millis(5)));
            let mut cx = Context::from_waker(&waker);
            assert!(sleep.as_mut().poll(&mut cx).is_pending());
            rx.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(sleep.as_mut().poll(&mut cx).is_ready());
        });
    }

    #[test]
    fn any_executor_is_woken() {
        let (tx, rx) = mpsc::channel();
        let waker = Waker::from(std::sync::Arc::new(Tell(tx)));
        let mut cx = Context::from_waker(&waker);
        let mut sleep = std::pin::pin!(sleep(Duration::from_millis(5)));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
        rx.recv().unwrap();
        assert!(sleep.as_mut().poll(&mut cx).is_ready());
    }

    #[test]
    fn a_wait_beyond_the_clock_is_no_overflow() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut sleep = std::pin::pin!(sleep(Duration::MAX));
        assert!(sleep.as_mut().poll(&mut cx).is_pending());
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn under_tokio_the_paused_clock_counts() {
        let start = now();
        sleep(Duration::from_hours(1)).await;
        assert!(now() - start >= Duration::from_hours(1));
    }
}
