use std::{thread, time::Duration};

use tokio::runtime::{Builder, Runtime};

/// Where the writer of a contest among tasks runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// In a task of the runtime that also runs the readers, as the seed's goroutine does.
    Inside,
    /// On a thread of its own, outside the runtime.
    Outside,
}

/// A tokio runtime as programs have it, but with two workers, whatever the machine.
///
/// # Panics
/// If the system refuses threads.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

impl Writer {
    /// Runs the whole of `work` to its end.
    ///
    /// # Panics
    /// If `work` does.
    pub fn run<T: Send + 'static>(
        self,
        runtime: &Runtime,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self {
            Self::Inside => runtime.block_on(runtime.spawn(work)).expect("the work ends well"),
            Self::Outside => runtime.block_on(work),
        }
    }
}

/// Lets tasks and threads that were just spawned come to rest, so that their start is part of the
/// set-up.
pub(crate) fn settle() {
    thread::sleep(Duration::from_millis(20));
}
