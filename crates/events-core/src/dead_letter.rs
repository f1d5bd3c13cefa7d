use std::fmt;

use crate::error::SinkError;

/// An event that its queue will not deliver, and why.
///
/// Its `Debug` does not show the event.
#[derive(Clone)]
pub struct DeadLetter<E> {
    /// The event.
    pub event: E,
    /// Why it was not delivered.
    pub error: SinkError,
}

impl<E> fmt::Debug for DeadLetter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter").field("error", &self.error).finish_non_exhaustive()
    }
}
