//! Threads or tasks: who runs what a plan has run side by side.

use std::{io, panic, thread};

use events_core::engine::park::block_on;

use crate::plan::World;

/// Something that runs beside the rest.
pub(crate) enum Job {
    Thread(thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl World {
    /// Runs `future` to its end, as that of a whole run.
    pub(crate) fn run<T>(self, future: impl Future<Output = T>) -> io::Result<T> {
        let mut runtime = match self {
            Self::Threads => return Ok(block_on(future)),
            Self::Paused => tokio::runtime::Builder::new_current_thread(),
            Self::Tasks => tokio::runtime::Builder::new_multi_thread(),
        };
        let paused = self == Self::Paused;
        let runtime = runtime.worker_threads(2).enable_time().start_paused(paused).build()?;
        let output = runtime.block_on(future);
        // A worker that nobody waits for any more may sleep for good.
        runtime.shutdown_background();
        Ok(output)
    }

    /// Runs `future` beside the rest.
    pub(crate) fn go(self, future: impl Future<Output = ()> + Send + 'static) -> Job {
        match self {
            Self::Threads => Job::Thread(thread::spawn(|| block_on(future))),
            Self::Paused | Self::Tasks => Job::Task(tokio::spawn(future)),
        }
    }
}

impl Job {
    /// Runs what blocks its thread, which only threads do.
    pub(crate) fn blocking(run: impl FnOnce() + Send + 'static) -> Self {
        Self::Thread(thread::spawn(run))
    }

    /// Its end; a panic goes on.
    pub(crate) async fn end(self) {
        match self {
            Self::Thread(thread) => {
                thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
            }
            Self::Task(task) => task.await.unwrap(),
        }
    }
}
