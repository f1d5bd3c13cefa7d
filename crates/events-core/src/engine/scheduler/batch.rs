use std::{collections::VecDeque, time::Duration};

use smallvec::SmallVec;

use crate::{error::SinkError, runtime::dispose::dispose, strategy::verdict::Verdict};

/// Events that one deliverer gives to the sink at once, most often one.
pub(crate) struct Batch<E> {
    pub(crate) events: SmallVec<[E; 1]>,
    /// What is known of each.
    pub(crate) metas: SmallVec<[Meta; 1]>,
    /// What the circuit said when it was taken, and is to be answered for.
    pub(crate) verdict: Verdict,
    /// Why it is not to be delivered at all.
    pub(crate) refused: Option<SinkError>,
}

/// What is known of an event apart from the event. Times are nanoseconds since the scheduler began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    /// Its sequence number in the feed.
    pub(crate) number: u64,
    /// The hash of its key, if events are ordered by one.
    pub(crate) key: u64,
    pub(crate) written: u64,
    /// When it failed for the first time, if it has.
    pub(crate) first_failure: u64,
    /// How often it was delivered in vain.
    pub(crate) attempts: u32,
}

impl Meta {
    /// An event that has yet to be delivered.
    pub(crate) const fn new(number: u64, key: u64, written: u64) -> Self {
        Self { number, key, written, first_failure: 0, attempts: 0 }
    }
}

impl<E> Batch<E> {
    pub(crate) fn new() -> Self {
        let verdict = Verdict::Go;
        Self { events: SmallVec::new(), metas: SmallVec::new(), verdict, refused: None }
    }

    /// Drops what is in it, to be filled again: a batch for each event is an allocation for each.
    pub(crate) fn clear(&mut self) {
        self.events.drain(..).for_each(dispose);
        self.metas.clear();
        self.refused = None;
    }

    pub(crate) fn push(&mut self, event: E, meta: Meta) {
        self.events.push(event);
        self.metas.push(meta);
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// What became of one event of a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    Delivered,
    /// It is delivered again after this long.
    Retry {
        after: Duration,
        /// Whether this attempt counts as one of the event's own: not if the destination was down.
        counts: bool,
    },
    Failed(SinkError),
}

/// An event that will not be delivered, with what its dead letter tells.
pub(crate) struct Undelivered<E> {
    pub(crate) event: E,
    pub(crate) attempts: u32,
    /// How long ago it failed for the first time, if it has.
    pub(crate) first_failure: Option<Duration>,
}

/// The events of a chunk that have yet to be taken.
pub(crate) struct Opened<E> {
    pub(crate) events: VecDeque<E>,
    /// The hash of each one's key, or how taking the key panicked; empty without an order.
    pub(crate) keys: VecDeque<Result<u64, SinkError>>,
    /// The sequence number of the first.
    pub(crate) first: u64,
    pub(crate) written: u64,
}

impl<E> Opened<E> {
    pub(crate) fn pop(&mut self) -> Option<(E, Meta)> {
        let event = self.events.pop_front()?;
        let key = self.keys.pop_front().and_then(Result::ok).unwrap_or(0);
        let meta = Meta::new(self.first, key, self.written);
        self.first += 1;
        Some((event, meta))
    }
}
