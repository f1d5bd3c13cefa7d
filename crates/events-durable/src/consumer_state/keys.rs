use std::collections::HashMap;

/// The keys whose events an earlier one holds up, by their hashes.
///
/// Of such a key one event leads: it is parked, or has come back and is with the sink. All others
/// have rows that say they are behind it, and come one after the other, the first first.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    held: HashMap<u64, Held>,
    /// Keys whose next event is to be loaded.
    advancing: Vec<u64>,
}

/// One key that is held up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// The event that leads; `None` while the next one is being looked for.
    pub(crate) leader: Option<u64>,
    /// How many are behind it that are not in memory.
    pub(crate) behind: u64,
}

impl Keys {
    pub(crate) fn new(held: HashMap<u64, Held>) -> Self {
        Self { held, advancing: Vec::new() }
    }

    /// Whether the event at `seq` has to wait for another one of its key.
    pub(crate) fn holds(&self, key: u64, seq: u64) -> bool {
        self.held.get(&key).is_some_and(|held| held.leader != Some(seq))
    }

    /// The event at `seq` is parked, and leads its key.
    pub(crate) fn lead(&mut self, key: u64, seq: u64) {
        self.held.entry(key).or_insert(Held { leader: None, behind: 0 }).leader = Some(seq);
    }

    /// One more event waits behind the leader of `key`.
    pub(crate) fn follow(&mut self, key: u64) {
        if let Some(held) = self.held.get_mut(&key) {
            held.behind += 1;
        }
    }

    /// The event at `seq` is settled: if it led its key, the next one may come.
    pub(crate) fn settle(&mut self, key: u64, seq: u64) {
        let Some(held) = self.held.get_mut(&key).filter(|held| held.leader == Some(seq)) else {
            return;
        };
        if held.behind == 0 {
            self.held.remove(&key);
        } else {
            held.leader = None;
            self.advancing.push(key);
        }
    }

    /// The event at `seq` is the next of its key, and in memory.
    pub(crate) fn advance(&mut self, key: u64, seq: u64) {
        self.advancing.retain(|other| *other != key);
        if let Some(held) = self.held.get_mut(&key) {
            held.leader = Some(seq);
            held.behind = held.behind.saturating_sub(1);
        }
    }

    /// Keys whose next event is to be loaded.
    pub(crate) fn advancing(&self) -> &[u64] {
        &self.advancing
    }
}
