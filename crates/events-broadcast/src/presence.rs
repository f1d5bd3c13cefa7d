use events_core::{
    ErrorKind, SinkError,
    engine::sync::{AtomicUsize, Mutex, Ordering},
};

/// How many sinks and subscribers a broadcaster has, and whether it takes events.
///
/// | state | a write | next |
/// |---|---|---|
/// | `OPEN` | goes to whoever is there, to nobody if nobody has ever been | `DESERTED`, `CLOSED` |
/// | `DESERTED` | is `Unavailable`: the last one left because it was closed | `OPEN`, `CLOSED` |
/// | `CLOSED` | is `Closed` | none |
#[derive(Debug)]
pub(crate) struct Presence {
    /// Changed under the lock of `count` alone, and read without.
    state: AtomicUsize,
    count: Mutex<usize>,
}

const OPEN: usize = 0;
const DESERTED: usize = 1;
const CLOSED: usize = 2;

/// Why somebody leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Somebody wanted it so.
    ByChoice,
    /// It was closed, or lost.
    Closed,
}

impl Presence {
    pub(crate) fn new() -> Self {
        Self { state: AtomicUsize::new(OPEN), count: Mutex::new(0) }
    }

    /// Whether an event may be written.
    ///
    /// # Errors
    /// `Closed`, or `Unavailable` while all have left.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), SinkError> {
        match self.state.load(Ordering::Acquire) {
            OPEN => Ok(()),
            state => Err(refusal(state)),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// One more is there.
    pub(crate) fn join(&self) {
        let mut count = self.count.lock();
        *count += 1;
        self.change(DESERTED, OPEN);
    }

    /// One is there no more.
    pub(crate) fn leave(&self, why: Leaves) {
        let mut count = self.count.lock();
        *count = count.saturating_sub(1);
        if *count == 0 && why == Leaves::Closed {
            self.change(OPEN, DESERTED);
        }
    }

    /// Takes no more events.
    pub(crate) fn close(&self) {
        let _count = self.count.lock();
        self.state.store(CLOSED, Ordering::Release);
    }

    fn change(&self, from: usize, to: usize) {
        if self.state.load(Ordering::Relaxed) == from {
            self.state.store(to, Ordering::Release);
        }
    }
}

#[cold]
fn refusal(state: usize) -> SinkError {
    if state == CLOSED {
        return SinkError::closed();
    }
    let why = "every sink of the broadcaster has closed; write again once another has joined";
    SinkError::new(ErrorKind::Unavailable, why)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_closed_leaves_a_desert() {
        let presence = Presence::new();
        let kind = || presence.check().map_err(|error| error.kind());
        presence.join();
        presence.join();
        presence.leave(Leaves::Closed);
        assert_eq!(kind(), Ok(()), "one is left");
        presence.leave(Leaves::ByChoice);
        assert_eq!(kind(), Ok(()), "the last one wanted it so");
        presence.join();
        presence.leave(Leaves::Closed);
        assert_eq!(kind(), Err(ErrorKind::Unavailable));
        presence.join();
        assert_eq!(kind(), Ok(()));
        presence.close();
        presence.leave(Leaves::Closed);
        presence.join();
        assert_eq!(kind(), Err(ErrorKind::Closed));
    }
}
