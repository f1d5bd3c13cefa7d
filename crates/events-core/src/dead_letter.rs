use std::{fmt, time::SystemTime};

use crate::error::SinkError;

/// An event that its queue will not deliver, and why.
///
/// Its `Debug` does not show the event.
#[derive(Clone)]
#[non_exhaustive]
pub struct DeadLetter<E> {
    /// The event.
    pub event: E,
    /// Why it was not delivered: after several attempts, how the last one failed.
    pub error: SinkError,
    /// How often it was offered to the sink; 0 if it never was.
    pub attempts: u32,
    /// When it failed for the first time, if it has.
    pub first_failure: Option<SystemTime>,
}

impl<E> DeadLetter<E> {
    /// An event that was never offered to its sink.
    pub const fn new(event: E, error: SinkError) -> Self {
        Self { event, error, attempts: 0, first_failure: None }
    }
}

impl<E> fmt::Debug for DeadLetter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("error", &self.error)
            .field("attempts", &self.attempts)
            .field("first_failure", &self.first_failure)
            .finish_non_exhaustive()
    }
}
