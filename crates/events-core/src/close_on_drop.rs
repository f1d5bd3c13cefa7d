use std::fmt;

use crate::{
    error::SinkError,
    runtime::{dispose::contain, trace::tell},
};

type CloseNow = Box<dyn FnOnce() -> Result<(), SinkError> + Send + Sync>;

/// Closes a sink when it is dropped, and waits for that.
///
/// Without it, what a queue has not delivered when `main` returns is gone with the process. Queues and
/// broadcasters make one with `close_on_drop`; for a sink of your own say how it closes.
///
/// The drop blocks its thread until the close has ended. What that fell short of is told through
/// `tracing`; [`close`](Self::close) returns it instead.
///
/// ```
/// use std::sync::Arc;
/// use events_core::{Close, CloseOnDrop, Memory, Sink};
///
/// let memory = Arc::new(Memory::new());
/// let sink = Arc::clone(&memory);
/// let guard = CloseOnDrop::new(move || sink.close().wait());
/// memory.write(&"started")?;
/// drop(guard);
/// assert!(memory.write(&"too late").is_err());
/// # Ok::<(), events_core::SinkError>(())
/// ```
#[must_use = "it closes the sink where it is dropped: bind it to a name, as in `let _guard = ...`"]
pub struct CloseOnDrop(Option<CloseNow>);

impl CloseOnDrop {
    /// Calls `close` when it is dropped.
    pub fn new(close: impl FnOnce() -> Result<(), SinkError> + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(close)))
    }

    /// Closes now, and tells how that ended.
    ///
    /// # Errors
    /// Those of the close.
    pub fn close(mut self) -> Result<(), SinkError> {
        self.0.take().map_or(Ok(()), |close| close())
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let Some(close) = self.0.take() else { return };
        // A panic here, perhaps in the middle of another, would end the process.
        contain(|| {
            if let Err(error) = close() {
                let error = &error as &dyn std::error::Error;
                tell(|| tracing::warn!(error, "a sink that was closed by its guard fell short"));
            }
        });
    }
}

impl fmt::Debug for CloseOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseOnDrop").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    #[test]
    fn it_closes_once_and_a_panic_ends_there() {
        let closes = Arc::new(AtomicU32::new(0));
        let count = || {
            let closes = Arc::clone(&closes);
            move || {
                closes.fetch_add(1, Ordering::Relaxed);
                Err(SinkError::undelivered_events(1))
            }
        };
        assert_eq!(CloseOnDrop::new(count()).close().unwrap_err().undelivered(), Some(1));
        drop(CloseOnDrop::new(count()));
        assert_eq!(closes.load(Ordering::Relaxed), 2);
        drop(CloseOnDrop::new(|| panic!("on purpose")));
    }
}
