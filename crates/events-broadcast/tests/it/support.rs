//! Sinks that misbehave on command.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc,
};

use events_broadcast::{Broadcaster, Stats};
use events_core::{Close, Closing, Sink, SinkError};
use parking_lot::{Condvar, Mutex};

/// Accepted is what became of it, in every snapshot.
#[track_caller]
pub(crate) fn assert_balanced(stats: &Stats) {
    let settled = stats.delivered + stats.failed + stats.dropped.total() + stats.pending;
    assert_eq!(stats.accepted, settled, "{stats:?}");
}

/// What `write` and `close` of a closure-like sink did.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) events: Mutex<Vec<u64>>,
    pub(crate) closes: AtomicUsize,
    pub(crate) closed: AtomicBool,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn events(&self) -> Vec<u64> {
        self.events.lock().clone()
    }
}

impl Close for Recorder {
    fn close(&self) -> Closing<'_> {
        self.closes.fetch_add(1, Ordering::Relaxed);
        self.closed.store(true, Ordering::Relaxed);
        Closing::done()
    }
}

impl Sink<u64> for Recorder {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(SinkError::closed());
        }
        self.events.lock().push(*event);
        Ok(())
    }
}

/// Blocks every write until it is opened.
pub(crate) struct Blocked {
    open: Mutex<bool>,
    opened: Condvar,
    entered: mpsc::Sender<()>,
    pub(crate) recorder: Recorder,
}

impl Blocked {
    /// The sink, and a signal for each write that has begun.
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<()>) {
        let (entered, writes) = mpsc::channel();
        let sink = Self {
            open: Mutex::new(false),
            opened: Condvar::new(),
            entered,
            recorder: Recorder::default(),
        };
        (Arc::new(sink), writes)
    }

    pub(crate) fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

impl Close for Blocked {
    fn close(&self) -> Closing<'_> {
        self.recorder.close()
    }
}

impl Sink<u64> for Blocked {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        let _nobody_listens = self.entered.send(());
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
        drop(open);
        self.recorder.write(event)
    }
}

/// Runs a closure that is set later, since it uses the broadcaster that the sink is in.
#[derive(Default)]
pub(crate) struct Hook(Mutex<Option<Write>>);

type Write = Box<dyn Fn(u64) -> Result<(), SinkError> + Send>;

impl Hook {
    pub(crate) fn set(&self, hook: impl Fn(u64) -> Result<(), SinkError> + Send + 'static) {
        *self.0.lock() = Some(Box::new(hook));
    }
}

impl Close for Hook {}

impl Sink<u64> for Hook {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        match &*self.0.lock() {
            Some(hook) => hook(*event),
            None => Ok(()),
        }
    }
}

/// The numbers that the only sink of the kind has in the broadcaster's account.
pub(crate) fn stats_of(all: &Broadcaster<u64>, id: events_broadcast::SinkId) -> Stats {
    let stats = all.stats().into_iter().find(|sink| sink.id == id);
    stats.expect("the sink is listed").stats
}
