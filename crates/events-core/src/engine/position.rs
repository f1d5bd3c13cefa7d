use crate::runtime::sync::{AtomicU64, Ordering};

/// How far a worker has settled its events, and whether somebody wants its attention: both in one
/// word, so that one atomic addition an event tells the worker all it has to know.
///
/// A flush, a writer that waits for room and a close that takes over each raise the flag and read
/// the count in one step. Either the worker's next step sees the flag, or the count that was read
/// already includes the step: nobody is overlooked, and no fence is needed.
#[derive(Debug, Default)]
pub struct Position(AtomicU64);

const FLAG: u64 = 1;

impl Position {
    /// A position after `settled` events.
    pub fn new(settled: u64) -> Self {
        Self(AtomicU64::new(settled << 1))
    }

    /// How many events have been settled.
    #[inline]
    pub fn settled(&self) -> u64 {
        self.0.load(Ordering::Acquire) >> 1
    }

    /// Settles `count` more. True if somebody wants attention.
    #[inline]
    pub fn advance(&self, count: u64) -> bool {
        self.0.fetch_add(count << 1, Ordering::AcqRel) & FLAG != 0
    }

    /// Raises the flag and says how many had been settled then.
    pub fn notify(&self) -> u64 {
        self.0.fetch_or(FLAG, Ordering::AcqRel) >> 1
    }

    /// Takes the flag down.
    pub fn clear_notified(&self) {
        self.0.fetch_and(!FLAG, Ordering::AcqRel);
    }

    /// Whether the flag is up.
    #[inline]
    pub fn is_notified(&self) -> bool {
        self.0.load(Ordering::Acquire) & FLAG != 0
    }
}
