use std::{collections::VecDeque, ops::Range, time::Instant};

use events_core::{Dropped, Stats};

use crate::{
    row::Row,
    stored::{now, system_time},
};

/// How many bytes of events are in memory at most, unless one alone is larger.
const WINDOW_BYTES: u64 = 8 << 20;

/// What is known of the events without asking the disk: which are in memory, which are settled but
/// still on the disk, and how many there are.
///
/// The **window** is what lies in the feed: loaded from the disk, or written just now, and not
/// settled yet. It is a run in the order of delivery, settled from the front.
#[derive(Debug)]
pub(crate) struct Ledger {
    window: VecDeque<Loaded>,
    window_bytes: u64,
    /// How many events the window holds at most.
    window_limit: usize,
    /// What lies before is settled, or with the sink.
    in_hand: u64,
    /// The place of the next event to load.
    pub(crate) next_load: u64,
    /// The place of the next event to be written.
    pub(crate) next_seq: u64,
    /// Settled, but still on the disk.
    pub(crate) done: Done,
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    pub(crate) failed: u64,
    pub(crate) overflow: u64,
    /// On the disk and not settled.
    pub(crate) pending: u64,
}

#[derive(Debug, Clone, Copy)]
struct Loaded {
    seq: u64,
    bytes: u64,
    written: u64,
}

/// Events that are settled, to be taken from the disk with the next transaction.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Delivered or dropped.
    pub(crate) gone: Vec<Range<u64>>,
    /// Dead letters, with their errors.
    pub(crate) dead: Vec<(u64, String)>,
    /// When the first of them was settled.
    pub(crate) since: Option<Instant>,
}

impl Done {
    fn add(&mut self, seq: u64) {
        self.since.get_or_insert_with(Instant::now);
        match self.gone.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => self.gone.push(seq..seq + 1),
        }
    }

    fn add_dead(&mut self, seq: u64, error: String) {
        self.since.get_or_insert_with(Instant::now);
        self.dead.push((seq, error));
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.dead.is_empty()
    }

    /// Roughly how much there is to do.
    pub(crate) fn count(&self) -> u64 {
        self.gone.iter().map(|seqs| seqs.end - seqs.start).sum::<u64>() + self.dead.len() as u64
    }

    /// Adds what was settled later.
    pub(crate) fn extend(&mut self, later: Self) {
        for seqs in later.gone {
            match self.gone.last_mut() {
                Some(last) if last.end == seqs.start => last.end = seqs.end,
                _ => self.gone.push(seqs),
            }
        }
        self.dead.extend(later.dead);
        self.since = self.since.or(later.since);
    }
}

impl Ledger {
    /// Of a file with `pending` events, where the next one gets the place `next_seq`.
    pub(crate) fn new(next_seq: u64, pending: u64, window_limit: usize) -> Self {
        Self {
            window: VecDeque::new(),
            window_bytes: 0,
            window_limit,
            in_hand: 0,
            next_load: 0,
            next_seq,
            done: Done::default(),
            accepted: pending,
            delivered: 0,
            failed: 0,
            overflow: 0,
            pending,
        }
    }

    /// All before is settled.
    pub(crate) fn settled(&self) -> u64 {
        self.window.front().map_or(self.next_load, |first| first.seq)
    }

    /// Whether there are events on the disk that are not loaded yet.
    pub(crate) const fn has_more(&self) -> bool {
        self.next_load < self.next_seq
    }

    /// How many events, and bytes of them, to load now: none until half the window is free.
    pub(crate) fn wanted(&self) -> Option<(u64, u64)> {
        let low = self.window.len() <= self.window_limit / 2;
        let wanted = self.has_more() && low && !self.is_heavy();
        wanted.then(|| {
            ((self.window_limit - self.window.len()) as u64, WINDOW_BYTES - self.window_bytes)
        })
    }

    /// Whether the events in memory are so large that no more of them are loaded for now.
    pub(crate) const fn is_heavy(&self) -> bool {
        self.window_bytes > WINDOW_BYTES / 2
    }

    /// Whether an event that was just written at `seq` may go into the window without being read
    /// back: nothing before it is left to load, and there is room.
    pub(crate) fn may_load(&self, seq: u64) -> bool {
        seq == self.next_load && self.window.len() < self.window_limit && !self.is_heavy()
    }

    /// The row is in the window from now on.
    pub(crate) fn load(&mut self, row: &Row) {
        let bytes = row.text.len() as u64;
        self.window.push_back(Loaded { seq: row.seq, bytes, written: row.written });
        self.window_bytes += bytes;
        self.next_load = row.seq + 1;
    }

    /// The sink is given these rows, except those that were dropped before it got to them: how many
    /// are to be left out at the front.
    pub(crate) fn hand_out(&mut self, rows: &[Row]) -> usize {
        let settled = self.settled();
        let skip = rows.partition_point(|row| row.seq < settled);
        self.in_hand = rows.last().map_or(self.in_hand, |row| row.seq + 1);
        skip
    }

    /// The sink has committed the event at `seq`.
    pub(crate) fn deliver(&mut self, seq: u64) {
        if self.settle(seq) {
            self.delivered += 1;
            self.done.add(seq);
        }
    }

    /// The event at `seq` is a dead letter.
    pub(crate) fn bury(&mut self, seq: u64, error: String) {
        if self.settle(seq) {
            self.failed += 1;
            self.done.add_dead(seq, error);
        }
    }

    /// Drops the oldest events in the window that the sink does not hold, up to `most`.
    pub(crate) fn drop_waiting(&mut self, most: u64) -> Done {
        let first = self.window.partition_point(|loaded| loaded.seq < self.in_hand);
        let end = self.window.len().min(first.saturating_add(most as usize));
        let mut dropped = Done::default();
        for loaded in self.window.drain(first..end) {
            self.window_bytes -= loaded.bytes;
            dropped.add(loaded.seq);
        }
        let count = (end - first) as u64;
        self.overflow += count;
        self.pending = self.pending.saturating_sub(count);
        dropped
    }

    /// Takes the event at `seq` from the window; false if it is not there.
    fn settle(&mut self, seq: u64) -> bool {
        // It is at the front, behind events at most that a stuck sink still holds.
        let Ok(place) = self.window.binary_search_by_key(&seq, |loaded| loaded.seq) else {
            return false;
        };
        let bytes = self.window.remove(place).map_or(0, |loaded| loaded.bytes);
        self.window_bytes -= bytes;
        self.pending = self.pending.saturating_sub(1);
        true
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut dropped = Dropped::default();
        dropped.overflow = self.overflow;
        let oldest = self.window.front().map(|first| {
            system_time(now()).duration_since(system_time(first.written)).unwrap_or_default()
        });
        let mut stats = Stats::default();
        stats.accepted = self.accepted;
        stats.delivered = self.delivered;
        stats.failed = self.failed;
        stats.dropped = dropped;
        stats.pending = self.pending;
        stats.oldest = oldest;
        stats
    }
}
