use std::time::Duration;

/// What became of the events that a queue or subscription accepted.
///
/// A snapshot: `accepted` = `delivered` + `failed` + `dropped` + `pending`, at all times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Events whose write was `Ok`.
    pub accepted: u64,
    /// Events that the sink behind has committed.
    pub delivered: u64,
    /// Events that the sink behind refused for good, or panicked over.
    pub failed: u64,
    /// Events that were never offered, or never answered.
    pub dropped: Dropped,
    /// Events that wait, or are being delivered now.
    pub pending: u64,
    /// How many of the pending events the sink has in its hands.
    pub in_flight: u64,
    /// How many of the pending events have failed and wait for their next attempt.
    pub parked: u64,
    /// In how long the next of those that wait for a time is due.
    pub next_due: Option<Duration>,
    /// How many events were given to the sink, one that is tried again each time.
    pub attempts: u64,
    /// How long the oldest pending event has waited; chunks of events share one clock reading.
    pub oldest: Option<Duration>,
}

/// Events dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// An overflow policy gave them up for newer ones, or gave them up themselves.
    pub overflow: u64,
    /// An abort, a deadline, or a worker that went away gave them up.
    pub abandoned: u64,
}

impl Dropped {
    /// All of them.
    pub const fn total(&self) -> u64 {
        self.overflow + self.abandoned
    }
}
