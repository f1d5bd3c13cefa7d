use std::collections::VecDeque;

/// How many bytes of events are in memory at most, unless one alone is larger.
const MOST_BYTES: u64 = 8 << 20;

/// The events of a consumer that are in memory and not settled, by sequence number: those that
/// were loaded in the order of the log, and those that were loaded again from rows of their own.
#[derive(Debug)]
pub(crate) struct Window {
    events: VecDeque<Loaded>,
    bytes: u64,
    /// How many events it holds at most.
    limit: usize,
    in_flight: usize,
}

/// An event in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    pub(crate) seq: u64,
    pub(crate) bytes: u32,
    /// When, in milliseconds since the epoch.
    pub(crate) written: u64,
    /// Whether it has a row of its own.
    pub(crate) has_row: bool,
    /// Whether the sink has it.
    pub(crate) in_flight: bool,
}

impl Window {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, limit, in_flight: 0 }
    }

    pub(crate) fn insert(&mut self, loaded: Loaded) {
        self.bytes += u64::from(loaded.bytes);
        let at = match self.events.back() {
            Some(last) if last.seq > loaded.seq => {
                self.events.partition_point(|other| other.seq < loaded.seq)
            }
            _ => self.events.len(),
        };
        self.events.insert(at, loaded);
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.find(seq).is_some()
    }

    pub(crate) fn remove(&mut self, seq: u64) -> Option<Loaded> {
        let loaded = self.events.remove(self.find(seq)?)?;
        self.forget(&loaded);
        Some(loaded)
    }

    fn forget(&mut self, loaded: &Loaded) {
        self.bytes -= u64::from(loaded.bytes);
        self.in_flight -= usize::from(loaded.in_flight);
    }

    /// The sink is given the event at `seq`, or has answered. False if it is not here.
    pub(crate) fn set_in_flight(&mut self, seq: u64, in_flight: bool) -> bool {
        let Some(at) = self.find(seq) else { return false };
        let loaded = &mut self.events[at];
        if loaded.in_flight != in_flight {
            loaded.in_flight = in_flight;
            if in_flight {
                self.in_flight += 1;
            } else {
                self.in_flight -= 1;
            }
        }
        true
    }

    /// The first events that the sink does not have, up to so many, are to be dropped.
    pub(crate) fn take_waiting(&mut self, most: u64) -> Vec<Loaded> {
        let mut taken = Vec::new();
        self.events.retain(|loaded| {
            let is_dropped = !loaded.in_flight && (taken.len() as u64) < most;
            if is_dropped {
                taken.push(*loaded);
            }
            !is_dropped
        });
        for loaded in &taken {
            self.forget(loaded);
        }
        taken
    }

    /// Those before `seq` that the sink does not have are to be dropped.
    pub(crate) fn take_before(&mut self, seq: u64) -> Vec<Loaded> {
        let waiting = |loaded: &&Loaded| loaded.seq < seq && !loaded.in_flight;
        let count = self.events.iter().filter(waiting).count() as u64;
        self.take_waiting(count)
    }

    /// The first event that has no row.
    pub(crate) fn first_in_order(&self) -> Option<u64> {
        self.events.iter().find(|loaded| !loaded.has_row).map(|loaded| loaded.seq)
    }

    /// How many events before `seq` have no row.
    pub(crate) fn in_order_before(&self, seq: u64) -> usize {
        let before = self.events.iter().take_while(|loaded| loaded.seq < seq);
        before.filter(|loaded| !loaded.has_row).count()
    }

    /// The events before `seq` that have no row, which get one.
    pub(crate) fn give_rows_before(&mut self, seq: u64) -> Vec<u64> {
        let mut given = Vec::new();
        for loaded in self.events.iter_mut().take_while(|loaded| loaded.seq < seq) {
            if !loaded.has_row {
                loaded.has_row = true;
                given.push(loaded.seq);
            }
        }
        given
    }

    pub(crate) fn first(&self) -> Option<&Loaded> {
        self.events.front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many events, and bytes of them, there is room for.
    pub(crate) fn room(&self) -> (usize, u64) {
        if self.is_heavy() {
            return (0, 0);
        }
        (self.limit.saturating_sub(self.events.len()), MOST_BYTES - self.bytes)
    }

    /// Whether it is half empty, so that it is worth loading more.
    pub(crate) fn is_low(&self) -> bool {
        self.events.len() <= self.limit / 2 && !self.is_heavy()
    }

    /// Whether the events in memory are so large that no more of them are loaded for now.
    pub(crate) const fn is_heavy(&self) -> bool {
        self.bytes > MOST_BYTES / 2
    }

    fn find(&self, seq: u64) -> Option<usize> {
        // Most often the first, or behind a few that a sink still has.
        if self.events.front()?.seq == seq {
            return Some(0);
        }
        self.events.binary_search_by_key(&seq, |loaded| loaded.seq).ok()
    }
}
