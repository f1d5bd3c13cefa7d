//! What became of the events: a table for people, one line of JSON for programs.

use std::fmt;

use serde::Serialize;

use crate::endpoint::Endpoint;

#[derive(Debug, Serialize)]
pub struct Account {
    /// Lines that were events.
    pub read: u64,
    /// Lines that were not.
    pub malformed: u64,
    pub endpoints: Vec<Entry>,
    /// Accepted, and then neither delivered nor failed nor dropped nor kept: 0, or the relay is
    /// broken.
    pub lost: i64,
}

/// One endpoint's events, and in `attempts` its requests.
#[derive(Debug, Serialize)]
pub struct Entry {
    pub name: String,
    pub accepted: u64,
    pub delivered: u64,
    pub failed: u64,
    pub dropped: u64,
    pub attempts: u64,
    #[serde(skip)]
    pub pending: u64,
    /// With a spool: what stays in it for the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
}

impl Account {
    pub fn new(read: u64, malformed: u64, endpoints: &[Endpoint]) -> Self {
        let endpoints: Vec<_> = endpoints.iter().map(Endpoint::entry).collect();
        let lost = endpoints.iter().map(Entry::lost).sum();
        Self { read, malformed, endpoints, lost }
    }

    /// Whether every line was an event, and every event delivered to all who should have it.
    pub fn is_clean(&self) -> bool {
        let delivered =
            |entry: &Entry| entry.failed == 0 && entry.dropped == 0 && entry.kept.unwrap_or(0) == 0;
        self.malformed == 0 && self.lost == 0 && self.endpoints.iter().all(delivered)
    }
}

impl Entry {
    fn lost(&self) -> i64 {
        let settled = self.delivered + self.failed + self.dropped + self.kept.unwrap_or(0);
        self.accepted.cast_signed() - settled.cast_signed()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.endpoints.iter().map(|entry| entry.name.chars().count());
        let width = names.max().unwrap_or(0).max("endpoint".len());
        // With a spool, what is pending in the end is kept.
        let spooled = self.endpoints.iter().any(|entry| entry.kept.is_some());
        let pending = if spooled { "kept" } else { "pending" };
        writeln!(
            f,
            "{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
            "endpoint", "accepted", "delivered", "attempts", "failed", "dropped", pending,
        )?;
        for entry in &self.endpoints {
            writeln!(
                f,
                "{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}  {:>9}",
                entry.name,
                entry.accepted,
                entry.delivered,
                entry.attempts,
                entry.failed,
                entry.dropped,
                entry.pending,
            )?;
        }
        write!(f, "{} read, {} malformed, {} lost", self.read, self.malformed, self.lost)
    }
}
