use crate::{
    error::SinkError,
    runtime::sync::{Flag, Ordering},
};

/// The closed flag of a sink that has nothing to flush.
///
/// ```
/// use events_core::{ErrorKind, Gate};
///
/// let gate = Gate::new();
/// gate.check()?;
/// gate.close();
/// assert_eq!(gate.check().unwrap_err().kind(), ErrorKind::Closed);
/// # Ok::<(), events_core::SinkError>(())
/// ```
#[derive(Debug, Default)]
pub struct Gate(Flag);

impl Gate {
    /// An open gate.
    pub const fn new() -> Self {
        Self(Flag::new(false))
    }

    /// `Closed` once [`close`](Self::close) was called.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed), and no other.
    #[inline]
    pub fn check(&self) -> Result<(), SinkError> {
        if self.0.load(Ordering::Acquire) { Err(SinkError::closed()) } else { Ok(()) }
    }

    /// Closes for good. True for the one call that did it.
    pub fn close(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}
