//! Sinks that do as they are told, and what tests of threads need.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use events_core::{AsyncSink, Close, Closing, ErrorKind, Sink, SinkError, engine::park::block_on};
use events_queue::{Queue, Stats};
use parking_lot::Mutex;

/// Long enough for any machine; what takes longer hangs.
pub(crate) const HANG: Duration = Duration::from_secs(20);

type Answer = Box<dyn Fn(u64) -> Result<(), SinkError> + Send + Sync>;

/// A sink that waits at a gate, tells when a write has come there, and answers as it is told.
#[derive(Clone)]
pub(crate) struct Script(Arc<Inner>);

struct Inner {
    gate: Mutex<Gate>,
    entered: Mutex<Receiver<u64>>,
    enter: Mutex<Sender<u64>>,
    answer: Answer,
    delivered: Mutex<Vec<u64>>,
    closes: AtomicU64,
    aborts: AtomicU64,
    close_hangs: bool,
}

#[derive(Default)]
struct Gate {
    shut: bool,
    /// How many may pass a shut gate.
    passes: u64,
    wakers: Vec<Waker>,
}

impl Script {
    /// Takes everything.
    pub(crate) fn new() -> Self {
        Self::answering(|_| Ok(()))
    }

    /// Answers so.
    pub(crate) fn answering(
        answer: impl Fn(u64) -> Result<(), SinkError> + Send + Sync + 'static,
    ) -> Self {
        Self::build(answer, false)
    }

    /// Takes everything, but its close never ends.
    pub(crate) fn never_closing() -> Self {
        Self::build(|_| Ok(()), true)
    }

    fn build(
        answer: impl Fn(u64) -> Result<(), SinkError> + Send + Sync + 'static,
        close_hangs: bool,
    ) -> Self {
        let (enter, entered) = channel();
        Self(Arc::new(Inner {
            gate: Mutex::default(),
            entered: Mutex::new(entered),
            enter: Mutex::new(enter),
            answer: Box::new(answer),
            delivered: Mutex::default(),
            closes: AtomicU64::new(0),
            aborts: AtomicU64::new(0),
            close_hangs,
        }))
    }

    /// Writes wait from now on.
    pub(crate) fn shut(self) -> Self {
        self.0.gate.lock().shut = true;
        self
    }

    /// Lets everything through.
    pub(crate) fn open(&self) {
        let mut gate = self.0.gate.lock();
        gate.shut = false;
        let wakers = std::mem::take(&mut gate.wakers);
        drop(gate);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets one write through a shut gate.
    pub(crate) fn pass(&self) {
        let mut gate = self.0.gate.lock();
        gate.passes += 1;
        let wakers = std::mem::take(&mut gate.wakers);
        drop(gate);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for the next write to come to the gate: its (first) event.
    pub(crate) fn entered(&self) -> u64 {
        self.0.entered.lock().recv_timeout(HANG).expect("the sink is written to")
    }

    pub(crate) fn delivered(&self) -> Vec<u64> {
        self.0.delivered.lock().clone()
    }

    pub(crate) fn closes(&self) -> u64 {
        self.0.closes.load(Ordering::SeqCst)
    }

    pub(crate) fn aborts(&self) -> u64 {
        self.0.aborts.load(Ordering::SeqCst)
    }

    async fn take(&self, events: &[u64]) -> Result<(), SinkError> {
        self.0.enter.lock().send(events[0]).unwrap();
        poll_fn(|cx| {
            let mut gate = self.0.gate.lock();
            if gate.shut && gate.passes == 0 {
                gate.wakers.push(cx.waker().clone());
                return Poll::Pending;
            }
            gate.passes = gate.passes.saturating_sub(1);
            Poll::Ready(())
        })
        .await;
        (self.0.answer)(events[0])?;
        self.0.delivered.lock().extend_from_slice(events);
        Ok(())
    }
}

impl Close for Script {
    fn close(&self) -> Closing<'_> {
        self.0.closes.fetch_add(1, Ordering::SeqCst);
        if self.0.close_hangs {
            return Closing::new(std::future::pending());
        }
        Closing::done()
    }

    fn abort(&self) {
        self.0.aborts.fetch_add(1, Ordering::SeqCst);
    }
}

impl Sink<u64> for Script {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        block_on(self.take(&[*event]))
    }
}

impl Sink<[u64]> for Script {
    fn write(&self, events: &[u64]) -> Result<(), SinkError> {
        block_on(self.take(events))
    }
}

impl AsyncSink<u64> for Script {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.take(&[*event]).await
    }
}

impl AsyncSink<[u64]> for Script {
    async fn write(&self, events: &[u64]) -> Result<(), SinkError> {
        self.take(events).await
    }
}

/// Runs `check` on a thread of its own, so that a hang is a failure.
#[track_caller]
pub(crate) fn in_time<T: Send + 'static>(check: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = channel();
    let thread = thread::spawn(move || drop(tell.send(check())));
    match told.recv_timeout(HANG) {
        Ok(value) => value,
        Err(_) if thread.is_finished() => {
            std::panic::resume_unwind(thread.join().expect_err("it panicked"))
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("this hangs"),
    }
}

/// Waits until `holds`, for what no signal tells.
#[track_caller]
pub(crate) fn until(holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < HANG, "this never came about");
        thread::yield_now();
    }
}

/// Polls `future` once, as a task that then looks elsewhere.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
pub(crate) fn write_all(queue: &Queue<u64>, events: impl IntoIterator<Item = u64>) {
    events.into_iter().for_each(|event| Sink::write(queue, &event).unwrap());
}

pub(crate) fn sorted(mut events: Vec<u64>) -> Vec<u64> {
    events.sort_unstable();
    events
}

/// Runs a worker future on a thread of its own.
pub(crate) fn started<T>((queue, worker): (T, impl Future<Output = ()> + Send + 'static)) -> T {
    thread::spawn(|| block_on(worker));
    queue
}

#[track_caller]
pub(crate) fn assert_balanced(stats: &Stats) {
    let settled = stats.delivered + stats.failed + stats.dropped.total();
    assert_eq!(stats.accepted, settled + stats.pending, "{stats:?}");
}

/// accepted, delivered, failed, dropped by overflow, abandoned, pending.
#[track_caller]
pub(crate) fn assert_stats(queue: &Queue<u64>, figures: [u64; 6]) {
    let stats = queue.stats();
    let Stats { accepted, delivered, failed, dropped, pending, .. } = stats;
    let found = [accepted, delivered, failed, dropped.overflow, dropped.abandoned, pending];
    assert_eq!(found, figures, "{stats:?}");
}

#[track_caller]
pub(crate) fn assert_kind<T: std::fmt::Debug>(result: Result<T, SinkError>, kind: ErrorKind) {
    assert_eq!(result.expect_err("an error").kind(), kind);
}

/// A close that tells of so many events.
#[track_caller]
pub(crate) fn assert_undelivered(result: Result<(), SinkError>, count: u64) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(count)));
}
