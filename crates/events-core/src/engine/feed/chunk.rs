use std::{
    fmt,
    ops::{Deref, Range},
    time::Instant,
};

use crate::runtime::dispose::dispose_each;

/// A sealed run of events, shared by all who read it.
pub struct Chunk<E> {
    pub(super) first: u64,
    pub(super) since: Instant,
    pub(super) events: Vec<E>,
}

impl<E> Chunk<E> {
    /// The sequence number of its first event.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The sequence number after its last event.
    pub const fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// When its first event was written.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Its events, moved out.
    pub(crate) fn into_events(mut self) -> Vec<E> {
        std::mem::take(&mut self.events)
    }

    /// Its events from sequence number `at` on: all of them if `at` lies before it, none if it lies
    /// beyond.
    pub fn from(&self, at: u64) -> &[E] {
        let skip = at.saturating_sub(self.first) as usize;
        self.events.get(skip..).unwrap_or(&[])
    }

    /// Those of its events whose sequence numbers lie in `range`, which may begin before it and end
    /// beyond it.
    ///
    /// ```
    /// use events_core::engine::feed::Feed;
    /// use std::sync::Arc;
    ///
    /// let feed = Arc::new(Feed::with_chunks(3));
    /// let _reader = Feed::reader(&feed, None);
    /// "abcdef".chars().for_each(|event| feed.push(event).unwrap());
    /// let second = &feed.from(3)[0];
    /// assert_eq!(second.range(0..5), ['d', 'e']);
    /// assert_eq!(second.range(5..9), ['f']);
    /// assert!(second.range(0..3).is_empty());
    /// ```
    pub fn range(&self, range: Range<u64>) -> &[E] {
        let index = |at: u64| (at.saturating_sub(self.first) as usize).min(self.events.len());
        self.events.get(index(range.start)..index(range.end)).unwrap_or(&[])
    }
}

/// Whoever lets go of it last, most often a worker, has nothing to do with what its events do then.
impl<E> Drop for Chunk<E> {
    fn drop(&mut self) {
        dispose_each(std::mem::take(&mut self.events));
    }
}

impl<E> Deref for Chunk<E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        &self.events
    }
}

impl<E> fmt::Debug for Chunk<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({}..{})", self.first, self.end())
    }
}
