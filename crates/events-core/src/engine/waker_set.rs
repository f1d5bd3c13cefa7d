use std::task::Waker;

use smallvec::SmallVec;

use crate::runtime::dispose;

/// Those who sleep until something changes; lives under the lock that guards what changes.
///
/// Registering again replaces the waker in place, giving up clears it, and taking all of them to
/// wake outside the lock costs one swap.
#[derive(Debug, Default)]
pub struct WakerSet {
    slots: Slots,
    /// The first of the free slots, each of which names the next; beyond the last if there is none.
    free: usize,
    sleeping: usize,
    /// How often all were taken: a ticket of an earlier round has been woken.
    round: u64,
}

/// Most of the time there is one who sleeps, and it comes and goes with every event.
type Slots = SmallVec<[Slot; 1]>;

#[derive(Debug)]
enum Slot {
    Sleeping(Waker),
    Free(usize),
}

/// A place among the [`WakerSet`], kept by the one who sleeps.
#[derive(Debug, Clone, Copy)]
pub struct WakerKey {
    round: u64,
    place: usize,
}

impl WakerSet {
    /// Nobody.
    pub fn new() -> Self {
        Self { slots: SmallVec::new(), free: 0, sleeping: 0, round: 0 }
    }

    /// Whether nobody sleeps.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.sleeping == 0
    }

    /// Has `waker` woken at the next change. It is to be cloned before the lock is taken, since what
    /// that does is its executor's business; and what it replaces is to be dropped after: it may be
    /// the last to hold a task, and all that the task holds.
    #[must_use = "what it replaces is to be dropped outside the lock"]
    pub fn register(&mut self, ticket: &mut Option<WakerKey>, waker: Waker) -> Option<Waker> {
        if let Some(Slot::Sleeping(known)) = self.slot(*ticket) {
            return Some(std::mem::replace(known, waker));
        }
        let place = self.free;
        if let Some(Slot::Free(next)) = self.slots.get(place) {
            self.free = *next;
        } else {
            self.slots.push(Slot::Free(place));
            self.free = place + 1;
        }
        self.slots[place] = Slot::Sleeping(waker);
        self.sleeping += 1;
        *ticket = Some(WakerKey { round: self.round, place });
        None
    }

    /// Forgets the waker of `ticket`, if it still sleeps. It is to be dropped outside the lock too.
    pub fn cancel(&mut self, ticket: &mut Option<WakerKey>) -> Option<Waker> {
        let ticket = ticket.take()?;
        let next = self.free;
        let slot = self.slot(Some(ticket))?;
        let Slot::Sleeping(left) = std::mem::replace(slot, Slot::Free(next)) else { return None };
        self.free = ticket.place;
        self.sleeping -= 1;
        if self.sleeping == 0 {
            // Nobody holds a ticket of this round any more.
            self.slots = Slots::new();
            self.free = 0;
        }
        Some(left)
    }

    /// Takes all of them, to be woken once the lock is released.
    pub fn take(&mut self) -> WakeList {
        if self.sleeping > 0 {
            self.round += 1;
        }
        self.free = 0;
        self.sleeping = 0;
        WakeList(std::mem::take(&mut self.slots))
    }

    fn slot(&mut self, ticket: Option<WakerKey>) -> Option<&mut Slot> {
        let ticket = ticket.filter(|ticket| ticket.round == self.round)?;
        self.slots.get_mut(ticket.place)
    }
}

/// Wakers taken from the [`WakerSet`].
#[derive(Debug)]
#[must_use = "they sleep until `wake` is called"]
pub struct WakeList(Slots);

impl WakeList {
    /// Nobody.
    #[inline]
    pub fn none() -> Self {
        Self(SmallVec::new())
    }

    /// Wakes them all, also those behind one that panics. Call it without holding a lock.
    pub fn wake(self) {
        for slot in self.0 {
            if let Slot::Sleeping(waker) = slot {
                dispose::wake(waker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counting() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn registering_again_replaces_and_cancelling_clears() {
        let (first, first_waker) = counting();
        let (second, second_waker) = counting();
        let (third, third_waker) = counting();
        let mut waiters = WakerSet::new();
        let (mut a, mut b) = (None, None);
        assert!(waiters.register(&mut a, first_waker.clone()).is_none());
        assert!(waiters.register(&mut b, third_waker.clone()).is_none());
        assert!(
            waiters.register(&mut a, second_waker.clone()).is_some(),
            "hands back what it replaces"
        );
        assert!(waiters.register(&mut a, second_waker.clone()).is_some(), "the same, too");
        assert!(waiters.cancel(&mut b).is_some());
        waiters.take().wake();
        let woken = [&first, &second, &third].map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1, 0]);
    }

    #[test]
    fn a_ticket_of_an_earlier_round_touches_nobody() {
        let (early, early_waker) = counting();
        let (late, late_waker) = counting();
        let mut waiters = WakerSet::new();
        let (mut a, mut b) = (None, None);
        assert!(waiters.register(&mut a, early_waker.clone()).is_none());
        waiters.take().wake();
        assert!(waiters.register(&mut b, late_waker.clone()).is_none());
        assert!(waiters.cancel(&mut a).is_none());
        waiters.take().wake();
        assert_eq!(early.0.load(Ordering::Relaxed), 1);
        assert_eq!(late.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn sleepers_that_come_and_go_take_no_more_room() {
        let mut waiters = WakerSet::new();
        let (mut stays, mut leaves) = (None, None);
        assert!(waiters.register(&mut stays, Waker::noop().clone()).is_none());
        for _ in 0..100 {
            assert!(waiters.register(&mut leaves, Waker::noop().clone()).is_none());
            std::mem::swap(&mut stays, &mut leaves);
            assert!(waiters.cancel(&mut leaves).is_some());
        }
        assert_eq!(waiters.slots.len(), 2);
        assert!(waiters.cancel(&mut stays).is_some());
        assert!(waiters.is_empty());
    }
}
