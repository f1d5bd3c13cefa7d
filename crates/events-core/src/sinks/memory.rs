use std::fmt;

use parking_lot::Mutex;

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    gate::Gate,
    sink::{AsyncSink, Close, Sink},
};

/// Keeps every event in memory, in order: for tests, and for small amounts.
///
/// Its memory grows with every write. Batches work too: `Memory<[E]>` keeps a `Vec<E>` each.
///
/// ```
/// use events_core::{Memory, Sink};
///
/// let sink = Memory::new();
/// sink.write("first")?;
/// sink.write("second")?;
/// assert_eq!(sink.events(), ["first", "second"]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct Memory<E: ?Sized + ToOwned> {
    gate: Gate,
    events: Mutex<Vec<E::Owned>>,
}

impl<E: ?Sized + ToOwned> Memory<E> {
    /// An empty one.
    pub const fn new() -> Self {
        Self { gate: Gate::new(), events: Mutex::new(Vec::new()) }
    }

    /// How many events it holds.
    pub fn len(&self) -> usize {
        self.events.lock().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all events out, in the order they were written.
    pub fn take(&self) -> Vec<E::Owned> {
        std::mem::take(&mut *self.events.lock())
    }
}

impl<E: ?Sized + ToOwned<Owned: Clone>> Memory<E> {
    /// A copy of all events, in the order they were written.
    pub fn events(&self) -> Vec<E::Owned> {
        self.events.lock().clone()
    }
}

impl<E: ?Sized + ToOwned> Default for Memory<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: ?Sized + ToOwned<Owned: Send>> Close for Memory<E> {
    fn close(&self) -> Closing<'_> {
        // Under the lock, so that no write that passed the gate arrives after the close.
        let _events = self.events.lock();
        self.gate.close();
        Closing::done()
    }
}

impl<E: ?Sized + Event + ToOwned<Owned: Send>> Sink<E> for Memory<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        // Copied before the lock is taken: what a copy does is the event's own business.
        let event = event.to_owned();
        let mut events = self.events.lock();
        self.gate.check()?;
        events.push(event);
        Ok(())
    }
}

impl<E: ?Sized + Event + ToOwned<Owned: Send>> AsyncSink<E> for Memory<E> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        Sink::write(self, event)
    }
}

impl<E: ?Sized + ToOwned> fmt::Debug for Memory<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("len", &self.len()).finish_non_exhaustive()
    }
}
