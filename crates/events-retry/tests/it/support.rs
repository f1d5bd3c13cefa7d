use std::time::Duration;

use events_core::{AsyncSink, Breaker, Close, ErrorKind, MaxAttempts, SinkError};
use tokio::sync::{mpsc, oneshot};

/// Opens at the first failure.
pub(crate) fn breaker(backoff: Duration) -> Breaker {
    Breaker::new(1, backoff).unwrap()
}

/// Tries again at once, so many times in all.
pub(crate) fn at_once(attempts: u32) -> MaxAttempts<Breaker> {
    MaxAttempts::new(Breaker::new(u32::MAX, Duration::from_secs(1)).unwrap(), attempts).unwrap()
}

pub(crate) fn unavailable() -> SinkError {
    SinkError::unavailable("connection refused")
}

pub(crate) fn kind(result: Result<(), SinkError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// A sink for tasks whose every attempt is answered by the test.
pub(crate) struct Asking(mpsc::UnboundedSender<Attempt>);

/// An attempt that waits for its answer.
pub(crate) type Attempt = oneshot::Sender<Result<(), SinkError>>;

impl Asking {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Attempt>) {
        let (attempts, asked) = mpsc::unbounded_channel();
        (Self(attempts), asked)
    }
}

impl Close for Asking {}

impl AsyncSink<u32> for Asking {
    async fn write(&self, _event: &u32) -> Result<(), SinkError> {
        let (attempt, answer) = oneshot::channel();
        self.0.send(attempt).unwrap();
        answer.await.unwrap()
    }
}
