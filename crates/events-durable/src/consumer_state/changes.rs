use std::collections::{BTreeMap, BTreeSet};

/// What has become of a consumer's events since that was last written to the disk.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    /// Rows that are new or different, by sequence number.
    pub(crate) rows: BTreeMap<u64, DeliveryRow>,
    /// Rows whose events are settled.
    pub(crate) settled_rows: BTreeSet<u64>,
    /// Attempts that failed.
    pub(crate) attempts: Vec<FailedAttempt>,
    /// How many events were settled in the order of the log, or left it for a row.
    pub(crate) passed: u64,
    /// Whether the consumer was disabled or enabled.
    pub(crate) mode: bool,
}

/// An event that is not settled in the order of the log, as its row in `deliveries` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRow {
    pub(crate) state: RowState,
    /// The hash of its key, where events are ordered by one.
    pub(crate) key: Option<u64>,
    /// How often it was delivered in vain.
    pub(crate) attempts: u32,
    /// When it is to be delivered, in milliseconds since the epoch.
    pub(crate) due: u64,
    /// Why it failed, and when, if it has.
    pub(crate) failure: Option<(u64, String)>,
}

/// What is to become of an event that has a row of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowState {
    /// It is delivered when it is due.
    Parked = 0,
    /// It is delivered after those of its key that were written before.
    Behind = 1,
    /// It is a dead letter.
    Dead = 2,
}

/// One attempt at one event.
#[derive(Debug, Clone)]
pub(crate) struct FailedAttempt {
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
    /// When, in milliseconds since the epoch.
    pub(crate) at: u64,
    pub(crate) error: String,
}

impl Changes {
    /// The event at `seq` is settled, and its row needed no more.
    pub(crate) fn settle_row(&mut self, seq: u64) {
        self.rows.remove(&seq);
        self.settled_rows.insert(seq);
    }

    /// The event at `seq` gets a row, or another one.
    pub(crate) fn set_row(&mut self, seq: u64, row: DeliveryRow) {
        self.settled_rows.remove(&seq);
        self.rows.insert(seq, row);
    }

    /// Whether what the disk says of the event at `seq` is out of date.
    pub(crate) fn concerns(&self, seq: u64) -> bool {
        self.rows.contains_key(&seq) || self.settled_rows.contains(&seq)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0 && !self.mode
    }

    /// Roughly how much there is to do.
    pub(crate) fn count(&self) -> u64 {
        self.passed + (self.rows.len() + self.settled_rows.len()) as u64
    }

    /// Takes back what could not be written, except where something newer has come.
    pub(crate) fn restore(&mut self, unsaved: Self) {
        for (seq, row) in unsaved.rows {
            if !self.concerns(seq) {
                self.rows.insert(seq, row);
            }
        }
        for seq in unsaved.settled_rows {
            if !self.concerns(seq) {
                self.settled_rows.insert(seq);
            }
        }
        self.attempts.splice(0..0, unsaved.attempts);
        self.passed += unsaved.passed;
        self.mode |= unsaved.mode;
    }
}
