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

/// Whether blocking this thread would hold up a task of a tokio runtime. Without the feature `tokio` no
/// runtime is known, so: never.
///
/// A thread may know a runtime and be free to block: inside `spawn_blocking` and `block_in_place`,
/// or after `Runtime::enter`. What tells them apart is that a task is polled on a budget, and such
/// a thread is not. The budget that is used up to find out makes the task yield once, early. A task
/// that was made `unconstrained` has none, and is taken for a thread that may block.
pub fn blocks_a_task() -> bool {
    #[cfg(feature = "tokio")]
    if tokio::runtime::Handle::try_current().is_ok() {
        /// Well above the budget of a poll, which is 128.
        const ENOUGH: usize = 1024;
        let mut cx = Context::from_waker(Waker::noop());
        let mut consume = || pin!(tokio::task::coop::consume_budget()).poll(&mut cx).is_pending();
        return (0..ENOUGH).any(|_| consume());
    }
    false
}

/// Whether this poll blocks a thread that the awaited worker may need, if that is a task: see
/// [`blocks_a_task`].
///
/// So does one that has entered a runtime of one thread without being one of its own: most often
/// nobody else drives that runtime, and then nobody would ever end the wait.
pub fn blocks_a_worker() -> bool {
    #[cfg(feature = "tokio")]
    if park::is_blocking()
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        // What runs in `spawn_blocking` has an id as tasks have: somebody drives its runtime.
        let is_own = tokio::task::try_id().is_some();
        let is_alone = runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::CurrentThread;
        return blocks_a_task() || (is_alone && !is_own);
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

    /// What both say in a wait that blocks its thread.
    #[cfg(feature = "tokio")]
    fn blocks() -> (bool, bool) {
        (blocks_a_task(), block_on(poll_fn(|_| Poll::Ready(blocks_a_worker()))))
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn a_task_is_told_from_a_thread_that_may_block() {
        use tokio::{runtime::Builder, task};

        assert_eq!(blocks(), (false, false));
        for (mut builder, is_alone) in
            [(Builder::new_current_thread(), true), (Builder::new_multi_thread(), false)]
        {
            let runtime = builder.enable_all().build().unwrap();
            let entered = runtime.enter();
            assert_eq!(blocks(), (false, is_alone), "perhaps nobody drives it");
            drop(entered);
            runtime.block_on(async {
                assert_eq!(blocks(), (true, true));
                assert!(!blocks_a_worker(), "a task that awaits blocks nobody");
                assert_eq!(tokio::spawn(async { blocks() }).await.unwrap(), (true, true));
                assert_eq!(task::spawn_blocking(blocks).await.unwrap(), (false, false));
            });
        }
        let runtime = Builder::new_multi_thread().build().unwrap();
        let in_place = async { task::block_in_place(blocks) };
        let task = async move { tokio::spawn(in_place).await };
        assert_eq!(runtime.block_on(task).unwrap(), (false, false));
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn under_tokio_the_paused_clock_counts() {
        let start = now();
        sleep(Duration::from_hours(1)).await;
        assert!(now() - start >= Duration::from_hours(1));
    }
}
