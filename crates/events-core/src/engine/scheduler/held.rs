use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use super::batch::Meta;

/// The events that are taken from the log and wait: for their time, or behind another of their key.
///
/// Each stands in `events`, and its number either in `due` or in the line of its key. Of a key either
/// some events are being delivered, all by one deliverer, or its first one stands in `due`; all
/// others are in the line.
///
/// Apart from itself an event costs about a hundred bytes here, and nothing else of its chunk is
/// kept for it.
pub(crate) struct Held<E> {
    events: BTreeMap<u64, Box<Waiting<E>>>,
    /// What may be delivered when, the earliest first. What was dropped meanwhile is passed over.
    due: BinaryHeap<Reverse<(u64, u64)>>,
    keys: Option<Keys>,
    /// How many of them failed before.
    parked: usize,
}

type Keys = HashMap<u64, Key, BuildHasherDefault<Prehashed>>;

/// The keys are hashes already.
#[derive(Default)]
struct Prehashed(u64);

impl Hasher for Prehashed {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct Waiting<E> {
    event: E,
    key: u64,
    written: u64,
    first_failure: u64,
    attempts: u32,
}

/// One whose events are not all settled.
#[derive(Default)]
struct Key {
    delivering: usize,
    /// The batch that delivers them.
    batch: u64,
    /// Whether the first of those that wait stands in `due`.
    is_due: bool,
    line: VecDeque<u64>,
    /// When the first in line may be delivered: it has failed before, or 0.
    due: u64,
}

impl<E> Held<E> {
    pub(crate) fn new(ordered: bool) -> Self {
        Self {
            events: BTreeMap::new(),
            due: BinaryHeap::new(),
            keys: ordered.then(Keys::default),
            parked: 0,
        }
    }

    pub(crate) const fn is_ordered(&self) -> bool {
        self.keys.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) const fn parked(&self) -> usize {
        self.parked
    }

    /// The number of the oldest, and when that was written.
    pub(crate) fn oldest(&self) -> Option<(u64, u64)> {
        self.events.first_key_value().map(|(number, waiting)| (*number, waiting.written))
    }

    /// When the next may be delivered.
    pub(crate) fn next_due(&mut self) -> Option<u64> {
        loop {
            let Reverse((due, number)) = *self.due.peek()?;
            if self.events.contains_key(&number) {
                return Some(due);
            }
            self.due.pop();
        }
    }

    /// One that may be delivered `now`, as part of `batch`.
    pub(crate) fn take_due(&mut self, now: impl Fn() -> u64, batch: u64) -> Option<(E, Meta)> {
        let due = self.next_due()?;
        if due > 0 && due > now() {
            return None;
        }
        let Reverse((_, number)) = self.due.pop()?;
        let (event, meta) = self.remove(number)?;
        if let Some(key) = self.key(meta.key) {
            key.is_due = false;
            key.delivering += 1;
            key.batch = batch;
        }
        Some((event, meta))
    }

    /// Whether an event of this key may be delivered now, as part of `batch`, and if so marks it.
    pub(crate) fn claim(&mut self, key: u64, batch: u64) -> bool {
        let Some(keys) = &mut self.keys else { return true };
        let key = keys.entry(key).or_default();
        let is_free = key.delivering == 0 || key.batch == batch;
        if key.is_due || !is_free {
            return false;
        }
        key.delivering += 1;
        key.batch = batch;
        true
    }

    /// Keeps a new event until those of its key that came before are settled.
    pub(crate) fn hold_behind_key(&mut self, event: E, meta: Meta) {
        if let Some(key) = self.key(meta.key) {
            key.line.push_back(meta.number);
        }
        self.insert(event, meta);
    }

    /// Keeps an event whose delivery has failed until `due`. Those of one batch and key come here
    /// from the last to the first.
    pub(crate) fn park(&mut self, event: E, meta: Meta, due: u64) {
        match self.key(meta.key) {
            Some(key) => {
                key.line.push_front(meta.number);
                key.due = due;
            }
            None => self.due.push(Reverse((due, meta.number))),
        }
        self.insert(event, meta);
    }

    /// One of this key is no longer being delivered; after the last one the next may be.
    pub(crate) fn release(&mut self, key: u64) {
        self.advance(key, 1);
    }

    /// So many of a key are no longer being delivered. If none is then, and none is due, the first in
    /// its line becomes so.
    fn advance(&mut self, key: u64, released: usize) {
        let Some(keys) = &mut self.keys else { return };
        let Entry::Occupied(mut entry) = keys.entry(key) else { return };
        let state = entry.get_mut();
        state.delivering = state.delivering.saturating_sub(released);
        if state.delivering > 0 || state.is_due {
            return;
        }
        let Some(number) = state.line.pop_front() else {
            entry.remove();
            return;
        };
        state.is_due = true;
        let due = std::mem::take(&mut state.due);
        self.due.push(Reverse((due, number)));
    }

    /// The oldest, which is not to be delivered any more.
    pub(crate) fn drop_oldest(&mut self) -> Option<(E, Meta)> {
        let number = *self.events.first_key_value()?.0;
        let (event, meta) = self.remove(number)?;
        if let Some(key) = self.key(meta.key) {
            // The first of its key either leads the line or stands in `due`, where it is passed over.
            if key.line.front() == Some(&number) {
                key.line.pop_front();
                key.due = 0;
            } else {
                key.is_due = false;
            }
            self.advance(meta.key, 0);
        }
        Some((event, meta))
    }

    fn insert(&mut self, event: E, meta: Meta) {
        let Meta { number, key, written, first_failure, attempts } = meta;
        self.parked += usize::from(attempts > 0);
        let waiting = Waiting { event, key, written, first_failure, attempts };
        self.events.insert(number, Box::new(waiting));
    }

    fn remove(&mut self, number: u64) -> Option<(E, Meta)> {
        let Waiting { event, key, written, first_failure, attempts, .. } =
            *self.events.remove(&number)?;
        self.parked -= usize::from(attempts > 0);
        Some((event, Meta { number, key, written, first_failure, attempts }))
    }

    fn key(&mut self, key: u64) -> Option<&mut Key> {
        self.keys.as_mut()?.get_mut(&key)
    }
}
