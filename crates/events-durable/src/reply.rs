use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use events_core::{SinkError, engine::park::block_on};
use parking_lot::Mutex;

/// The answer to something that the queue was asked to do, and has begun: how many events it
/// concerned.
///
/// On a thread, [`wait`](Self::wait); in a task, `.await`. Dropping it changes nothing.
#[must_use = "it has begun; `.wait()` or `.await` tells how it ended"]
pub struct Reply(Arc<Slot>);

impl Reply {
    pub(crate) const fn new(slot: Arc<Slot>) -> Self {
        Self(slot)
    }

    /// Blocks this thread until the answer is there.
    ///
    /// # Errors
    /// [`Closed`](events_core::ErrorKind::Closed) if the queue has ended, or what kept the disk
    /// from it.
    pub fn wait(self) -> Result<u64, SinkError> {
        block_on(self)
    }
}

impl Future for Reply {
    type Output = Result<u64, SinkError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// Where the committer leaves its answer for the one who waits.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answer: Option<Result<u64, SinkError>>,
    waker: Option<Waker>,
}

impl Slot {
    pub(crate) fn tell(&self, answer: Result<u64, SinkError>) {
        let mut state = self.0.lock();
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Result<u64, SinkError>> {
        let mut state = self.0.lock();
        if let Some(answer) = &state.answer {
            return Poll::Ready(answer.clone());
        }
        let waker = cx.waker().clone();
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        Poll::Pending
    }
}
