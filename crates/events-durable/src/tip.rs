use std::{collections::VecDeque, sync::Arc};

use events_core::engine::dispose_each;
use parking_lot::Mutex;

/// How many events lie here at most, and bytes of them.
const LIMIT: (usize, u64) = (4_096, 8 << 20);

/// The newest events of a log, for consumers that keep up: decoded once for all of them.
///
/// Who lags further finds them on the disk.
#[derive(Debug)]
pub(crate) struct Tip<E>(Mutex<Ring<E>>);

#[derive(Debug)]
struct Ring<E> {
    events: VecDeque<Fresh<E>>,
    bytes: u64,
    /// The sequence number of the first.
    first: u64,
}

/// An event that was just committed.
#[derive(Debug)]
pub(crate) struct Fresh<E> {
    /// When, in milliseconds since the epoch.
    pub(crate) written: u64,
    /// What it takes as text.
    pub(crate) bytes: u32,
    pub(crate) event: Arc<E>,
}

impl<E> Clone for Fresh<E> {
    fn clone(&self) -> Self {
        Self { event: Arc::clone(&self.event), ..*self }
    }
}

impl<E> Tip<E> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Ring { events: VecDeque::new(), bytes: 0, first: 0 }))
    }

    /// These were written, the first of them at `first`; none is between them and those before.
    pub(crate) fn push(&self, first: u64, events: Vec<Fresh<E>>) {
        let mut ring = self.0.lock();
        let mut gone = Vec::new();
        if ring.first + ring.events.len() as u64 != first {
            gone.extend(ring.take(usize::MAX));
            ring.first = first;
        }
        ring.bytes += events.iter().map(|fresh| u64::from(fresh.bytes)).sum::<u64>();
        ring.events.extend(events);
        while ring.events.len() > LIMIT.0 || ring.bytes > LIMIT.1 {
            gone.extend(ring.take(1));
        }
        drop(ring);
        // Events may do as they like when they are dropped.
        dispose_each(gone);
    }

    /// The events from `from` on, up to so many and about so many bytes of them, if they are here.
    pub(crate) fn from(&self, from: u64, most: usize, bytes: u64) -> Vec<Fresh<E>> {
        let ring = self.0.lock();
        let Some(skip) = from.checked_sub(ring.first) else { return Vec::new() };
        let mut size = 0;
        let fits = |fresh: &&Fresh<E>| {
            let fits = size < bytes;
            size += u64::from(fresh.bytes);
            fits
        };
        ring.events.iter().skip(skip as usize).take(most).take_while(fits).cloned().collect()
    }

    /// Nobody needs what lies before `seq` any more.
    pub(crate) fn release(&self, seq: u64) {
        let mut ring = self.0.lock();
        let count = seq.saturating_sub(ring.first).min(ring.events.len() as u64);
        let gone = ring.take(count as usize);
        drop(ring);
        dispose_each(gone);
    }
}

impl<E> Ring<E> {
    fn take(&mut self, count: usize) -> Vec<Fresh<E>> {
        let count = count.min(self.events.len());
        self.first += count as u64;
        let taken: Vec<_> = self.events.drain(..count).collect();
        self.bytes -= taken.iter().map(|fresh| u64::from(fresh.bytes)).sum::<u64>();
        taken
    }
}
