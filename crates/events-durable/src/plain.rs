use events_core::{AsyncSink, Close, Closing, Event, Sink, SinkError};

use crate::stored::Stored;

/// Gives a sink of `E` the events of a durable queue, without their ids.
///
/// ```
/// use std::sync::Arc;
/// use events_core::{Close, Memory, Sink};
/// use events_durable::{DurableQueue, Plain};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let memory = Arc::new(Memory::<String>::new());
/// let queue = DurableQueue::spawn(Plain::new(Arc::clone(&memory)), path)?;
/// queue.write(&"started".to_owned())?;
/// queue.close().wait()?;
/// assert_eq!(memory.events(), ["started"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain<S>(S);

impl<S> Plain<S> {
    /// Around `sink`.
    pub const fn new(sink: S) -> Self {
        Self(sink)
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.0
    }

    /// The sink inside.
    pub fn into_inner(self) -> S {
        self.0
    }
}

impl<S: Close> Close for Plain<S> {
    fn close(&self) -> Closing<'_> {
        self.0.close()
    }

    fn abort(&self) {
        self.0.abort();
    }
}

impl<E: Event, S: Sink<E>> Sink<Stored<E>> for Plain<S> {
    fn write(&self, event: &Stored<E>) -> Result<(), SinkError> {
        self.0.write(event)
    }
}

impl<E: Event, S: AsyncSink<E>> AsyncSink<Stored<E>> for Plain<S> {
    fn write(&self, event: &Stored<E>) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.0.write(event)
    }
}
