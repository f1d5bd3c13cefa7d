use std::{
    io,
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use events_core::SinkError;
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    task::{JoinError, JoinHandle},
};

/// The one that all sinks of the process share while any of them needs it.
static SHARED: Mutex<Weak<Background>> = Mutex::new(Weak::new());

/// A thread with a runtime, which does the I/O of those who have no runtime of their own.
///
/// reqwest's blocking client would be such a thread for each client. It times each read of an
/// answer's body anew, cannot be told to give a request up, and panics when it is built or dropped
/// inside a runtime.
#[derive(Debug)]
pub(crate) struct Background {
    /// Present until dropped.
    runtime: Option<Runtime>,
}

impl Background {
    pub(crate) fn shared() -> io::Result<Arc<Self>> {
        let mut shared = SHARED.lock();
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("events-http")
            .enable_all()
            .build()?;
        let started = Arc::new(Self { runtime: Some(runtime) });
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// Runs `task` on the background's thread; the caller may wait on any thread or executor. The
    /// task is given up with the returned future.
    pub(crate) fn run<F>(&self, task: F) -> impl Future<Output = F::Output> + Send + use<F>
    where
        F: Future<Output = Result<(), SinkError>> + Send + 'static,
    {
        let running = self.runtime.as_ref().map(|runtime| Running(runtime.spawn(task)));
        async move {
            let gone = || SinkError::unavailable("the thread for HTTP requests is gone");
            match running.ok_or_else(gone)?.await {
                Ok(result) => result,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_cancelled) => Err(gone()),
                },
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // The plain drop of a runtime waits, and panics inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Running(JoinHandle<Result<(), SinkError>>);

impl Future for Running {
    type Output = Result<Result<(), SinkError>, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        pin!(&mut self.0).poll(cx)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn one_thread_serves_all_and_ends_with_the_last() {
        let first = Background::shared().unwrap();
        let second = Background::shared().unwrap();
        assert!(Arc::ptr_eq(&first, &second));

        let (alive, ends) = mpsc::channel::<()>();
        // Alone, whatever other tests share: its end is what is looked at.
        let own = Background { runtime: Some(Builder::new_multi_thread().build().unwrap()) };
        let forever = own.run(async move {
            let _alive = alive;
            std::future::pending::<Result<(), SinkError>>().await
        });
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { drop(own) });
        ends.recv().unwrap_err();
        runtime.block_on(forever).unwrap_err();
    }

    #[test]
    fn a_task_ends_with_the_one_who_waits_for_it() {
        let background = Background::shared().unwrap();
        let (started, starts) = mpsc::channel();
        let (alive, ends) = mpsc::channel::<()>();
        let task = background.run(async move {
            let _alive = alive;
            started.send(()).unwrap();
            std::future::pending::<Result<(), SinkError>>().await
        });
        starts.recv().unwrap();
        drop(task);
        ends.recv().unwrap_err();
    }

    #[test]
    fn a_panic_is_passed_on() {
        let background = Background::shared().unwrap();
        let task = background.run(async { panic!("on purpose") });
        let waiter = thread::spawn(|| events_core::engine::park::block_on(task));
        let panic = waiter.join().unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    }
}
