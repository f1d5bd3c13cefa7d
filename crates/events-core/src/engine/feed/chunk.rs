use std::{fmt, ops::Deref, time::Instant};

/// A sealed run of events, shared by all who read it.
pub struct Chunk<E> {
    pub(super) first: u64,
    pub(super) since: Instant,
    pub(super) events: Vec<E>,
}

impl<E> Chunk<E> {
    /// The sequence number of its first event.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The sequence number after its last event.
    pub const fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// When its first event was written.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Its events from sequence number `at` on, none if `at` lies beyond it.
    pub fn from(&self, at: u64) -> &[E] {
        let skip = at.saturating_sub(self.first) as usize;
        self.events.get(skip..).unwrap_or(&[])
    }
}

impl<E> Deref for Chunk<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.events
    }
}

impl<E> fmt::Debug for Chunk<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({}..{})", self.first, self.end())
    }
}
