use std::{
    collections::VecDeque,
    fmt,
    task::{Poll, Waker},
};

/// Writers that wait for room, each with its event, first come first served; lives under the lock
/// that guards the room.
///
/// The events wait in it themselves: whoever makes room takes the first one in and wakes its
/// writer, so no freed slot is promised to a writer that has gone away. Where it is the writer
/// itself that is let in, it waits with nothing, `()`, and gives its slot back if it has
/// gone away since.
///
/// ```
/// use events_core::engine::feed::WaitQueue;
/// use std::task::{Poll, Waker};
///
/// let mut queue = WaitQueue::new();
/// let [first, second] = ["one", "two"].map(|event| queue.enqueue(event, Waker::noop().clone()));
/// let (event, waker) = queue.admit().expect("somebody waits");
/// assert_eq!(event, "one");
/// waker.wake();
/// let mut waker = Waker::noop().clone();
/// assert_eq!(queue.poll(first, &mut waker), Poll::Ready(true));
/// assert_eq!(queue.poll(second, &mut waker), Poll::Pending);
/// ```
pub struct WaitQueue<E> {
    waiting: VecDeque<Waiting<E>>,
    /// The number of the next writer to join.
    next: u64,
    /// Writers with a lower number that do not wait any more have been let in.
    admitted: u64,
}

struct Waiting<E> {
    number: u64,
    event: E,
    waker: Waker,
}

impl<E> Default for WaitQueue<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E> WaitQueue<E> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new(), next: 0, admitted: 0 }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Joins the end; the number to ask and leave with.
    pub fn enqueue(&mut self, event: E, waker: Waker) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(Waiting { number, event, waker });
        number
    }

    /// What the first one waits with.
    pub fn first(&self) -> Option<&E> {
        self.waiting.front().map(|waiting| &waiting.event)
    }

    /// Lets the first one in: its event, and whom to wake.
    pub fn admit(&mut self) -> Option<(E, Waker)> {
        let Waiting { number, event, waker } = self.waiting.pop_front()?;
        self.admitted = number + 1;
        Some((event, waker))
    }

    /// Whether writer `number` has been let in; false if the queue was cleared before.
    ///
    /// While it waits, `waker` takes the place of the one before, which is left in it for the caller
    /// to drop outside the lock.
    pub fn poll(&mut self, number: u64, waker: &mut Waker) -> Poll<bool> {
        if let Some(place) = self.index_of(number) {
            std::mem::swap(&mut self.waiting[place].waker, waker);
            return Poll::Pending;
        }
        Poll::Ready(self.was_admitted(number))
    }

    /// Whether writer `number`, who does not wait any more, has been let in.
    pub fn was_admitted(&self, number: u64) -> bool {
        number < self.admitted
    }

    /// Takes the event of writer `number` back, unless it has been let in already, with the waker
    /// for the caller to drop outside the lock.
    pub fn cancel(&mut self, number: u64) -> Option<(E, Waker)> {
        let place = self.index_of(number)?;
        self.waiting.remove(place).map(|waiting| (waiting.event, waiting.waker))
    }

    /// Sends everybody away.
    pub fn clear(&mut self) -> Vec<(E, Waker)> {
        self.waiting.drain(..).map(|waiting| (waiting.event, waiting.waker)).collect()
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok()
    }
}

impl<E> fmt::Debug for WaitQueue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}
