use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use parking_lot::Mutex;

use crate::{
    closing::Closing,
    engine::waker_set::{WakeList, WakerSet},
    error::SinkError,
    runtime::park::block_on,
    sink::{AsyncSink, Close, Sink},
};

/// Where a sink under test hands its events to: it keeps them, and blocks, panics or calls back
/// when a rule wants it to.
///
/// A handle; clones share what was kept.
#[derive(Clone, Default)]
pub struct Destination(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    kept: Vec<u64>,
    blocked: bool,
    closed: bool,
    aborted: bool,
    waiting: WakerSet,
    next: Option<Surprise>,
}

/// What the next write runs into.
pub(super) enum Surprise {
    Panic,
    /// Something of the rule's to wait for before the event is kept.
    Wait(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl Destination {
    /// Writes wait until [`release`](Self::release).
    pub(super) fn block(&self) {
        self.0.lock().blocked = true;
    }

    pub(super) fn release(&self) {
        let sleepers = {
            let mut state = self.0.lock();
            state.blocked = false;
            state.waiting.take()
        };
        WakeList::wake(sleepers);
    }

    pub(super) fn surprise(&self, surprise: Surprise) {
        self.0.lock().next = Some(surprise);
    }

    pub(super) fn has_surprise(&self) -> bool {
        self.0.lock().next.is_some()
    }

    /// How many hold it.
    pub(super) fn owners(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(super) fn kept(&self) -> Vec<u64> {
        self.0.lock().kept.clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.0.lock().aborted
    }

    async fn keep(&self, events: &[u64]) -> Result<(), SinkError> {
        let surprise = self.0.lock().next.take();
        match surprise {
            Some(Surprise::Panic) => panic!("the conformance suite has its destination panic"),
            Some(Surprise::Wait(wait)) => wait.await,
            None => {}
        }
        let mut ticket = None;
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = self.0.lock();
            if state.blocked {
                let replaced = state.waiting.register(&mut ticket, waker);
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            if state.closed {
                return Poll::Ready(Err(SinkError::closed()));
            }
            state.kept.extend_from_slice(events);
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl Close for Destination {
    fn close(&self) -> Closing<'_> {
        self.0.lock().closed = true;
        Closing::done()
    }

    fn abort(&self) {
        self.0.lock().aborted = true;
    }
}

impl Sink<u64> for Destination {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        block_on(self.keep(&[*event]))
    }
}

impl Sink<[u64]> for Destination {
    fn write(&self, events: &[u64]) -> Result<(), SinkError> {
        block_on(self.keep(events))
    }
}

impl AsyncSink<u64> for Destination {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.keep(&[*event]).await
    }
}

impl AsyncSink<[u64]> for Destination {
    async fn write(&self, events: &[u64]) -> Result<(), SinkError> {
        self.keep(events).await
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Destination")
            .field("kept", &state.kept.len())
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}
