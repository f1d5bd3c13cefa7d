//! Reads the source on a thread of its own, which may wait for lines and for room in the queues.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use events_broadcast::Broadcaster;
use events_core::Sink;
use tokio::sync::oneshot;

use crate::{notification::Event, progress::Progress, source::Source};

/// A source that is being read and written to all endpoints.
pub struct Reading {
    stopped: AtomicBool,
    /// Locked while an event is being written, so that no count is seen half done.
    counts: Mutex<Counts>,
}

/// What was read so far.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub events: u64,
    pub malformed: u64,
}

impl Reading {
    /// Begins to read. The receiver is told how it ended, unless [`stop`](Self::stop) ended it.
    pub fn start(
        source: Source,
        all: Broadcaster<Event>,
        progress: Arc<Progress>,
    ) -> io::Result<(Arc<Self>, oneshot::Receiver<io::Result<()>>)> {
        let reading = Arc::new(Self { stopped: AtomicBool::new(false), counts: Mutex::default() });
        let (ended, end) = oneshot::channel();
        let shared = Arc::clone(&reading);
        thread::Builder::new().name("reading".to_owned()).spawn(move || {
            let result = shared.run(source, &all, &progress);
            // Nobody listens any more once it was stopped.
            drop(ended.send(result));
        })?;
        Ok((reading, end))
    }

    fn run(
        &self,
        mut source: Source,
        all: &Broadcaster<Event>,
        progress: &Progress,
    ) -> io::Result<()> {
        while let Some(line) = source.next()? {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            if self.stopped.load(Ordering::Acquire) {
                break;
            }
            match line {
                Ok(event) => {
                    // Only a broadcaster that is closed refuses, and then nobody got the event.
                    if all.write(&Arc::new(event)).is_err() {
                        break;
                    }
                    counts.events += 1;
                }
                Err(malformed) => {
                    counts.malformed += 1;
                    progress.note(&format!("line {} {}", malformed.line, malformed.problem));
                }
            }
        }
        Ok(())
    }

    /// Reads no more. An event that is being written still is; close the queues to end that.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// What was read; waits for an event that is being written.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
