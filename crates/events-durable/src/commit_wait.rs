use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use events_core::{
    Overflow, SinkError,
    engine::{
        WakerKey,
        clock::{self, Sleep},
    },
};

use crate::{
    commit_queue::{CommitQueue, Offered},
    completion::Promise,
};

/// A write that waits for its commit, and perhaps for room before.
///
/// Dropping it takes the events back, unless their commit has begun.
#[derive(Debug)]
pub(crate) struct CommitWait<'a, E> {
    queue: &'a CommitQueue<E>,
    promise: Arc<Promise>,
    key: Option<WakerKey>,
    /// Whether it may still wait for room.
    in_line: bool,
    over: bool,
}

impl<'a, E> CommitWait<'a, E> {
    pub(crate) fn new(queue: &'a CommitQueue<E>, offered: Offered) -> Self {
        let Offered { promise, waits_for_room } = offered;
        Self { queue, promise, key: None, in_line: waits_for_room, over: false }
    }

    /// Waits for the commit, and for room no longer than the policy says. `check` tells whether
    /// that would be for ever.
    pub(crate) async fn committed(
        mut self,
        mut check: impl FnMut() -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let mut timeout = match self.queue.bounds.overflow {
            Overflow::BlockFor(timeout) if self.in_line => Some(clock::sleep(timeout)),
            _ => None,
        };
        std::future::poll_fn(|cx| self.poll(cx, &mut check, timeout.as_mut())).await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        check: impl FnOnce() -> Result<(), SinkError>,
        timeout: Option<&mut Sleep>,
    ) -> Poll<Result<(), SinkError>> {
        if let Poll::Ready(answer) = self.promise.poll(&mut self.key, cx) {
            self.over = true;
            return Poll::Ready(answer.map(|_| ()));
        }
        if self.in_line {
            let refused = match check() {
                Err(deadlock) => deadlock,
                Ok(()) => match timeout.map(|timeout| pin!(timeout).poll(cx)) {
                    Some(Poll::Ready(())) => SinkError::full(),
                    _ => return Poll::Pending,
                },
            };
            // It has been let in if it waits for room no more.
            self.in_line = false;
            if self.queue.leave_line(&self.promise) {
                self.over = true;
                return Poll::Ready(Err(refused));
            }
        }
        Poll::Pending
    }
}

impl<E> Drop for CommitWait<'_, E> {
    fn drop(&mut self) {
        if !self.over {
            self.queue.withdraw(&self.promise);
        }
    }
}
