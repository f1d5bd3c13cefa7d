//! What is written: every event is unlike every other.

/// One event, told from all others of a run by who wrote it and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) writer: u16,
    pub(crate) number: u16,
}

impl Event {
    /// What the lanes of a queue keep in order.
    pub(crate) const fn key(self) -> u16 {
        self.number % 3
    }
}

/// What one call of a sink is given: an event, or a batch.
pub(crate) trait Events: events_core::Event {
    fn list(&self) -> &[Event];
}

impl Events for Event {
    fn list(&self) -> &[Event] {
        std::slice::from_ref(self)
    }
}

impl Events for [Event] {
    fn list(&self) -> &[Event] {
        self
    }
}
