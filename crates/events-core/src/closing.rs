use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    error::{ErrorKind, SinkError},
    runtime::park::block_on,
};

/// The end of a close or flush that has already begun.
///
/// On a thread, [`wait`](Self::wait); in a task, `.await`. Dropping it changes nothing: the close
/// goes on by itself.
///
/// ```
/// use events_core::{Close, Discard};
///
/// let sink = Discard::new();
/// sink.close().wait()?;
/// # Ok::<(), events_core::SinkError>(())
/// ```
#[must_use = "the close has begun; `.wait()` or `.await` tells how it ended"]
pub struct Closing<'a>(State<'a>);

enum State<'a> {
    Ended(Result<(), SinkError>),
    Waiting(Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>),
}

impl<'a> Closing<'a> {
    /// A close that has ended well.
    pub const fn done() -> Self {
        Self(State::Ended(Ok(())))
    }

    /// A close that has ended so.
    pub const fn ended(result: Result<(), SinkError>) -> Self {
        Self(State::Ended(result))
    }

    /// A close that ends when `future` does. Begin the close before this: the future may never
    /// be polled.
    pub fn new(future: impl Future<Output = Result<(), SinkError>> + Send + 'a) -> Self {
        Self(State::Waiting(Box::pin(future)))
    }

    /// Whether it is known already how it ended.
    pub const fn has_ended(&self) -> bool {
        matches!(self.0, State::Ended(_))
    }

    /// All of them, side by side; the result tells of every error.
    ///
    /// When one says that waiting for it would deadlock, the others are not waited for either: they
    /// may depend on it.
    pub fn all(closings: impl IntoIterator<Item = Closing<'a>>) -> Self {
        let mut closings: Vec<_> = closings.into_iter().enumerate().collect();
        let mut errors = Vec::new();
        Self::new(std::future::poll_fn(move |cx| {
            let mut stuck = false;
            closings.retain_mut(|(at, closing)| match Pin::new(closing).poll(cx) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    stuck |= matches!(&result, Err(e) if e.kind() == ErrorKind::WouldDeadlock);
                    errors.extend(result.err().map(|error| (*at, error)));
                    false
                }
            });
            if closings.is_empty() || stuck {
                // As they were given, whichever ended first: every closer is told the same.
                errors.sort_by_key(|(at, _)| *at);
                let errors = std::mem::take(&mut errors).into_iter().map(|(_, error)| error);
                let error = SinkError::combine(errors);
                Poll::Ready(error.map_or(Ok(()), Err))
            } else {
                Poll::Pending
            }
        }))
    }

    /// Blocks this thread until the end.
    ///
    /// # Errors
    /// What the close met: events it gave up on, a destination that is gone, an inner close that
    /// failed. [`WouldDeadlock`](crate::ErrorKind::WouldDeadlock) if this thread is the one that
    /// the close needs; the close goes on all the same. So it is in a task, where a task is waited for:
    /// `.await` instead. A thread that has merely entered a runtime of several threads may wait; one
    /// that has entered a runtime of one thread may not, since perhaps nobody drives that but itself,
    /// unless it is one of the runtime's own, in `spawn_blocking`.
    pub fn wait(self) -> Result<(), SinkError> {
        match self.0 {
            State::Ended(result) => result,
            State::Waiting(future) => block_on(future),
        }
    }
}

impl Future for Closing<'_> {
    type Output = Result<(), SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.0 {
            State::Ended(result) => return Poll::Ready(result.clone()),
            State::Waiting(future) => std::task::ready!(future.as_mut().poll(cx)),
        };
        // Kept, so that polling once more answers the same instead of panicking.
        self.0 = State::Ended(result.clone());
        Poll::Ready(result)
    }
}

impl fmt::Debug for Closing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Ended(result) => f.debug_tuple("Closing").field(result).finish(),
            State::Waiting(_) => f.debug_struct("Closing").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_waits_for_every_one_and_tells_every_error() {
        let (tx, rx) = std::sync::mpsc::channel();
        let slow = Closing::new(async move {
            tx.send(()).unwrap();
            Err(SinkError::undelivered_events(2))
        });
        let error = Closing::all([Closing::ended(Err(SinkError::closed())), slow, Closing::done()])
            .wait()
            .unwrap_err();
        rx.try_recv().unwrap();
        let kinds: Vec<_> = error.errors().iter().map(SinkError::kind).collect();
        assert_eq!(kinds, [ErrorKind::Closed, ErrorKind::Undelivered]);
        assert_eq!(error.kind(), ErrorKind::Undelivered);
    }
}
