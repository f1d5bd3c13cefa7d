use std::collections::VecDeque;

/// How many bytes each event has that is written and not settled.
#[derive(Debug, Default)]
pub(super) struct Weights {
    /// Those of the event with the number `first`, and of all that follow; 0 for one that is settled.
    sizes: VecDeque<u64>,
    first: u64,
    total: u64,
    /// All before was dropped for newer ones, but for what the sink has in its hands.
    floor: u64,
    /// Those of the events that no reader has asked for yet.
    open: u64,
}

impl Weights {
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn push(&mut self, number: u64, bytes: u64) {
        if self.sizes.is_empty() {
            self.first = number;
        }
        self.sizes.push_back(bytes);
        self.total = self.total.saturating_add(bytes);
    }

    fn pop(&mut self) {
        if let Some(bytes) = self.sizes.pop_front() {
            self.total = self.total.saturating_sub(bytes);
            self.first += 1;
        }
    }

    pub(super) fn settle_before(&mut self, number: u64) {
        while self.first < number && !self.sizes.is_empty() {
            self.pop();
        }
    }

    pub(super) fn settle(&mut self, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            let place = number.checked_sub(self.first).map(|place| place as usize);
            if let Some(bytes) = place.and_then(|place| self.sizes.get_mut(place)) {
                self.total = self.total.saturating_sub(std::mem::take(bytes));
            }
        }
        while self.sizes.front() == Some(&0) {
            self.pop();
        }
    }

    /// Gives up the oldest until no more than `limit` are left, or one event.
    pub(super) fn drop_beyond(&mut self, limit: u64) {
        while self.total > limit && self.sizes.len() > 1 {
            self.pop();
            self.floor = self.first;
        }
    }

    /// One more is open, with so many bytes, so that `open` are. True if they are much of `limit`.
    pub(super) fn add_open(&mut self, open: usize, bytes: u64, limit: u64) -> bool {
        /// In so many chunks at least a full log lies.
        const CHUNKS: u64 = 4;
        self.open = if open > 1 { self.open.saturating_add(bytes) } else { bytes };
        open > 0 && self.open > limit / CHUNKS
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn weights(sizes: &[u64]) -> Weights {
        let mut weights = Weights::default();
        for (number, bytes) in (7..).zip(sizes) {
            weights.push(number, *bytes);
        }
        weights
    }

    #[test]
    fn what_is_settled_in_any_order_weighs_nothing() {
        let mut weights = weights(&[3, 0, 5, 9]);
        weights.settle([8, 9].into_iter());
        assert_eq!((weights.total, weights.first), (12, 7));
        weights.settle([7, 2, 40].into_iter());
        assert_eq!((weights.total, weights.first), (9, 10));
        weights.settle_before(100);
        assert_eq!((weights.total, weights.sizes.len()), (0, 0));
    }

    #[test]
    fn the_newest_stays_however_large() {
        let mut weights = weights(&[3, 4, 5]);
        weights.drop_beyond(9);
        assert_eq!((weights.total, weights.floor), (9, 8));
        weights.push(10, 1_000);
        weights.drop_beyond(9);
        assert_eq!((weights.total, weights.floor), (1_000, 10));
    }
}
