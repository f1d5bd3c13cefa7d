//! What is to be brought into memory next.

use std::time::{Duration, Instant};

use events_core::engine::Mode;

use super::{Locked, changes::RowState, window::Loaded};

/// What a consumer lacks in memory.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// How many times its changes had been saved when this was asked: what the disk says of its
    /// rows must not be used once that has changed.
    pub(crate) saves: u64,
    /// Keys whose next event is wanted.
    pub(crate) keys: Vec<u64>,
    /// How many events there is room for that are due.
    pub(crate) due: Option<usize>,
    /// From where on to load in the order of the log, how many, and how many bytes of them.
    pub(crate) in_order: Option<InOrder>,
    /// When to look again for what is due, in milliseconds since the epoch.
    pub(crate) next_due: Option<u64>,
    /// Whether nothing more will come: the delivery is to end.
    pub(crate) is_over: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct InOrder {
    pub(crate) from: u64,
    pub(crate) end: u64,
    pub(crate) most: usize,
    pub(crate) bytes: u64,
}

impl Locked {
    pub(crate) fn plan(&mut self, now: u64) -> Plan {
        let mut plan = Plan { saves: self.saves, is_over: self.is_over(), ..Plan::default() };
        if self.stopped || self.ended.is_some() {
            return plan;
        }
        let (most, bytes) = self.window.room();
        let is_due = self.next_due.is_some_and(|due| due <= now);
        if most == 0 {
            // To be looked for again when there is room.
            self.due_is_stale |= is_due;
            return plan;
        }
        plan.keys = self.keys.advancing().to_vec();
        if self.set_aside > 0 && (self.due_is_stale || is_due) {
            // What comes in the order of the log is not to starve.
            plan.due = Some((most / 2).max(1));
        }
        plan.next_due = self.next_due.filter(|_| self.set_aside > 0);
        let end = self.closing_at.unwrap_or(u64::MAX).min(self.head);
        if self.next_load < end && self.window.is_low() {
            plan.in_order = Some(InOrder { from: self.next_load, end, most, bytes });
        }
        plan
    }

    /// Whether there is something to load, or the end to tell.
    pub(super) fn is_hungry(&self) -> bool {
        let end = self.closing_at.unwrap_or(u64::MAX).min(self.head);
        let wants = self.next_load < end && self.window.is_low();
        let wants_rows =
            !self.keys.advancing().is_empty() || (self.set_aside > 0 && self.due_is_stale);
        (!self.stopped && (wants || wants_rows)) || self.is_over()
    }

    /// Whether the delivery has nothing more to come.
    fn is_over(&self) -> bool {
        let Some(end) = self.closing_at else { return false };
        let is_settled = self.window.is_empty() && self.next_load >= end && self.set_aside == 0;
        // What is left of the others is kept on the disk.
        is_settled || self.stopped || self.mode == Mode::Disabled
    }

    /// Whether a batch is not to wait for more: somebody waits for its end, and no more comes now, or
    /// there is no room in memory for more.
    pub(crate) fn hurries(&self) -> bool {
        let end = self.closing_at.unwrap_or(u64::MAX).min(self.head);
        let is_all = self.next_load >= end || self.window.room().0 == 0;
        let is_awaited = !self.flushes.is_empty() || self.closing_at.is_some();
        self.window.is_heavy() || (is_awaited && is_all)
    }

    /// Whether the event at `seq`, as the disk knows it, may be loaded from its row.
    pub(crate) fn may_load_row(&self, seq: u64, saves: u64) -> bool {
        let is_saving = self.saving.as_ref().is_some_and(|changes| changes.concerns(seq));
        self.saves == saves
            && !self.stopped
            && !self.window.contains(seq)
            && !self.changes.concerns(seq)
            && !is_saving
    }

    /// Whether what was read of the rows is still true.
    pub(crate) const fn is_current(&self, saves: u64) -> bool {
        self.saves == saves
    }

    /// An event is in memory from now on that was loaded from its row.
    pub(crate) fn load_row(&mut self, seq: u64, bytes: u32, written: u64) {
        self.set_aside -= 1;
        let loaded = Loaded { seq, bytes, written, has_row: true, in_flight: false };
        self.window.insert(loaded);
    }

    /// Whether the event at `seq` is the next of `key`: none before it is on its way to the disk.
    pub(crate) fn is_next_of(&self, key: u64, seq: u64) -> bool {
        let unsaved = self.saving.as_deref().into_iter().chain([&self.changes]);
        let mut rows = unsaved.flat_map(|changes| changes.rows.range(..seq));
        !rows.any(|(_, row)| row.key == Some(key) && row.state == RowState::Behind)
    }

    /// The event at `seq` is the next of `key`, and in memory.
    pub(crate) fn advance(&mut self, key: u64, seq: u64) {
        self.keys.advance(key, seq);
    }

    /// What the disk says of when the next is due, if that is still true.
    pub(crate) fn set_next_due(&mut self, due: Option<u64>, saves: u64) {
        if self.saves == saves {
            self.next_due = due;
            self.due_is_stale = false;
        }
    }

    /// The next event in the order of the log is in memory from now on, or is none that anybody
    /// could deliver. False if it is not the next any more.
    pub(crate) fn load_in_order(&mut self, seq: u64, bytes: u32, written: u64) -> bool {
        if seq < self.next_load || self.stopped {
            return false;
        }
        self.next_load = seq + 1;
        self.window.insert(Loaded { seq, bytes, written, has_row: false, in_flight: false });
        true
    }

    /// There is nothing before `seq` that is not loaded.
    pub(crate) fn skip_to(&mut self, seq: u64) {
        self.next_load = self.next_load.max(seq);
    }

    /// So many events were written, and `head` is the sequence number of the next.
    pub(crate) fn wrote(&mut self, count: u64, head: u64) {
        if self.closing_at.is_none_or(|end| head <= end) && self.ended.is_none() {
            self.accepted += count;
            self.head = head;
        }
    }

    /// Until when nothing new is due, from `now` on.
    pub(crate) fn alarm(&self, now: u64) -> Option<Instant> {
        // Where there is no room, it is looked for again once there is some.
        let may_load = self.set_aside > 0 && !self.stopped && self.window.room().0 > 0;
        let due = self.next_due.filter(|_| may_load)?;
        Instant::now().checked_add(Duration::from_millis(due.saturating_sub(now)))
    }
}
