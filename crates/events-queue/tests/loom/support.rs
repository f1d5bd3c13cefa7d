//! A sink that remembers, and a worker that is a modelled thread.

use std::sync::{Arc, Mutex, PoisonError};

use events_core::{
    AsyncSink, Close, Closing, DeadLetter, ErrorKind, Sink, SinkError, engine::park::block_on,
};
use events_queue::{Builder, Queue, Single, Stats};
use loom::thread::{self, JoinHandle};

/// Tries all orders with at most so many preemptions: switches from a thread that could go on.
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// What it got, in order. Its lock is a real one, since it is never held while threads meet.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    events: Mutex<Vec<u64>>,
    closed: Mutex<usize>,
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<u64> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn times_closed(&self) -> usize {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, event: u64) {
        assert_eq!(self.times_closed(), 0, "written to after it was closed");
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Close for Seen {
    fn close(&self) -> Closing<'_> {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Closing::done()
    }
}

impl AsyncSink<u64> for Seen {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.see(*event);
        Ok(())
    }
}

impl Sink<DeadLetter<u64>> for Seen {
    fn write(&self, letter: &DeadLetter<u64>) -> Result<(), SinkError> {
        assert_eq!(letter.error.kind(), ErrorKind::Undelivered);
        self.see(letter.event);
        Ok(())
    }
}

/// A queue before what it delivers to, its worker and its dead letter.
pub(crate) struct Model {
    pub(crate) queue: Queue<u64>,
    pub(crate) sink: Arc<Seen>,
    pub(crate) dead: Arc<Seen>,
    pub(crate) worker: JoinHandle<()>,
}

impl Model {
    pub(crate) fn new(settings: fn(Builder<u64, Single>) -> Builder<u64, Single>) -> Self {
        let [sink, dead] = [Arc::new(Seen::default()), Arc::new(Seen::default())];
        let builder = settings(Queue::builder()).dead_letter(Arc::clone(&dead));
        let (queue, worker) = builder.pair(Arc::clone(&sink)).unwrap();
        let worker = thread::spawn(|| block_on(worker));
        Self { queue, sink, dead, worker }
    }
}

/// All that was accepted has come to its end.
pub(crate) fn assert_settled(stats: Stats) {
    assert_eq!(stats.pending, 0, "{stats:?}");
    let settled = stats.delivered + stats.failed + stats.dropped.total();
    assert_eq!(stats.accepted, settled, "{stats:?}");
}
