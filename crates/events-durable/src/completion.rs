use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use events_core::{
    SinkError,
    engine::{WakerKey, WakerSet, park::block_on},
};
use parking_lot::Mutex;

/// The answer to something that a log was asked to do, and has begun: how many events it
/// concerned.
///
/// On a thread, [`wait`](Self::wait); in a task, `.await`. Dropping it changes nothing.
#[must_use = "it has begun; `.wait()` or `.await` tells how it ended"]
pub struct Completion {
    promise: Arc<Promise>,
    key: Option<WakerKey>,
}

impl Completion {
    pub(crate) const fn new(promise: Arc<Promise>) -> Self {
        Self { promise, key: None }
    }

    /// Blocks this thread until the answer is there.
    ///
    /// # Errors
    /// [`Closed`](events_core::ErrorKind::Closed) if the log has ended, or what kept the disk
    /// from it.
    pub fn wait(self) -> Result<u64, SinkError> {
        block_on(self)
    }
}

impl Future for Completion {
    type Output = Result<u64, SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.promise.poll(&mut this.key, cx)
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.promise.forget(&mut self.key);
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").finish_non_exhaustive()
    }
}

/// Where the answer is left for those who wait.
#[derive(Debug, Default)]
pub(crate) struct Promise(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    answer: Option<Result<u64, SinkError>>,
    waiting: WakerSet,
}

impl Promise {
    /// The first answer counts.
    pub(crate) fn fulfil(&self, answer: Result<u64, SinkError>) {
        let mut state = self.0.lock();
        state.answer.get_or_insert(answer);
        let waiting = state.waiting.take();
        drop(state);
        waiting.wake();
    }

    pub(crate) fn poll(
        &self,
        key: &mut Option<WakerKey>,
        cx: &Context<'_>,
    ) -> Poll<Result<u64, SinkError>> {
        // Declared before the lock, and so dropped after it: a waker is somebody else's code.
        let waker = cx.waker().clone();
        let mut state = self.0.lock();
        if let Some(answer) = &state.answer {
            return Poll::Ready(answer.clone());
        }
        let replaced = state.waiting.register(key, waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// Whoever registered as `key` waits no more.
    pub(crate) fn forget(&self, key: &mut Option<WakerKey>) {
        if key.is_some() {
            let waker = self.0.lock().waiting.cancel(key);
            drop(waker);
        }
    }
}
