use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use events_core::{
    Overflow, SinkError,
    engine::clock::{self, Sleep},
};

use crate::{desk::Desk, reply::Slot, row::Row};

type Account = events_core::engine::Account<Row>;

/// A write that waits for its commit, and perhaps for room before.
///
/// Dropping it takes the event back, unless its commit has begun.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    desk: &'a Desk,
    slot: Arc<Slot>,
    /// Whether it may still stand in line.
    in_line: bool,
    over: bool,
}

impl<'a> Waiting<'a> {
    pub(crate) const fn new(desk: &'a Desk, slot: Arc<Slot>, in_line: bool) -> Self {
        Self { desk, slot, in_line, over: false }
    }

    /// Waits for the commit, and for room no longer than the policy says.
    pub(crate) async fn committed(mut self, account: &Account) -> Result<(), SinkError> {
        let mut timeout = match self.desk.policy.overflow {
            Overflow::BlockFor(timeout) if self.in_line => Some(clock::sleep(timeout)),
            _ => None,
        };
        std::future::poll_fn(|cx| self.poll(cx, account, timeout.as_mut())).await
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        account: &Account,
        timeout: Option<&mut Sleep>,
    ) -> Poll<Result<(), SinkError>> {
        if let Poll::Ready(answer) = self.slot.poll(cx) {
            self.over = true;
            return Poll::Ready(answer.map(|_| ()));
        }
        if self.in_line {
            let refused = match account.check_wait() {
                Err(deadlock) => deadlock,
                Ok(()) => match timeout.map(|timeout| pin!(timeout).poll(cx)) {
                    Some(Poll::Ready(())) => SinkError::full(),
                    _ => return Poll::Pending,
                },
            };
            // It has been let in if it stands there no more.
            self.in_line = false;
            if self.desk.leave_line(&self.slot) {
                self.over = true;
                return Poll::Ready(Err(refused));
            }
        }
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.desk.withdraw(&self.slot);
        }
    }
}

/// Waits for an answer that depends on the worker.
pub(crate) async fn answered(slot: Arc<Slot>, account: &Account) -> Result<(), SinkError> {
    std::future::poll_fn(|cx| match slot.poll(cx) {
        Poll::Ready(answer) => Poll::Ready(answer.map(|_| ())),
        Poll::Pending => match account.check_wait() {
            Ok(()) => Poll::Pending,
            Err(deadlock) => Poll::Ready(Err(deadlock)),
        },
    })
    .await
}
