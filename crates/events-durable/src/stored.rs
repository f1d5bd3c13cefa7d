use std::{
    fmt,
    ops::Deref,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

use crate::event_id::EventId;

/// An event that comes from the disk, with its [id](EventId): what the sink of a consumer is given.
///
/// It dereferences to the event and serialises as the event alone, so most sinks take it as they
/// stand; [`Plain`](crate::Plain) wraps one that wants the bare event. Clones share the event.
///
/// Its `Debug` does not show the event.
pub struct Stored<E> {
    /// Its place in the order of the log.
    pub(crate) seq: u64,
    id: EventId,
    /// In milliseconds since the epoch.
    pub(crate) written: u64,
    /// How often it was delivered to this consumer in vain.
    pub(crate) attempts: u32,
    event: Arc<E>,
}

impl<E> Stored<E> {
    /// An event that comes in the order of the log.
    pub(crate) const fn new(seq: u64, id: EventId, written: u64, event: Arc<E>) -> Self {
        Self { seq, id, written, attempts: 0, event }
    }

    /// The same after so many attempts.
    pub(crate) const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The event's name, the same in every delivery.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// When the event was written, by the clock of the machine that did it.
    pub fn written(&self) -> SystemTime {
        system_time(self.written)
    }

    /// How often it was delivered to this consumer before, in vain, in earlier runs too: attempts
    /// that [`redeliver`](crate::ConsumerBuilder::redeliver) counts, and those that made it a dead
    /// letter.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The event.
    pub fn event(&self) -> &E {
        &self.event
    }

    /// The event, without its id. It is cloned if others share it.
    pub fn into_event(self) -> E
    where
        E: Clone,
    {
        Arc::unwrap_or_clone(self.event)
    }
}

impl<E> Clone for Stored<E> {
    fn clone(&self) -> Self {
        Self { event: Arc::clone(&self.event), ..*self }
    }
}

impl<E> Deref for Stored<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.event
    }
}

impl<E: Serialize> Serialize for Stored<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.event.serialize(serializer)
    }
}

impl<E> fmt::Debug for Stored<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Now, as it is stored: in milliseconds since the epoch.
pub(crate) fn now() -> u64 {
    millis(SystemTime::now())
}

/// A time as it is stored; one before the epoch is the epoch.
pub(crate) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().min(i64::MAX as u128) as u64)
}

pub(crate) fn system_time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
