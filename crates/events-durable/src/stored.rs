use std::{
    fmt,
    ops::Deref,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};

use crate::event_id::EventId;

/// An event that comes from the disk, with its [id](EventId): what the sink behind a
/// [`DurableQueue`](crate::DurableQueue) is given.
///
/// It dereferences to the event and serialises as the event alone, so most sinks take it as they
/// stand; [`Plain`](crate::Plain) wraps one that wants the bare event.
///
/// Its `Debug` does not show the event.
#[derive(Clone)]
pub struct Stored<E> {
    id: EventId,
    /// In milliseconds since the epoch.
    written: u64,
    event: E,
}

impl<E> Stored<E> {
    pub(crate) const fn new(id: EventId, written: u64, event: E) -> Self {
        Self { id, written, event }
    }

    /// The event's name, the same in every delivery.
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// When the event was written, by the clock of the machine that did it.
    pub fn written(&self) -> SystemTime {
        system_time(self.written)
    }

    /// The event.
    pub const fn event(&self) -> &E {
        &self.event
    }

    /// The event, without its id.
    pub fn into_event(self) -> E {
        self.event
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
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

pub(crate) fn system_time(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
