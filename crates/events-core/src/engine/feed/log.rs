//! What stands under the feed's one lock.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use smallvec::SmallVec;

use super::{chunk::Chunk, wait_queue::WaitQueue, weights::Weights};
use crate::{
    engine::waker_set::{WakeList, WakerSet},
    runtime::{clock, dispose::dispose_each, sync::Arc},
};

pub(super) struct Log<E> {
    /// Chunks that some reader has yet to take, oldest first.
    sealed: VecDeque<Sealed<E>>,
    /// The number of `sealed`'s front among all chunks ever sealed.
    front: u64,
    /// Events that no reader has asked for yet.
    open: Vec<E>,
    /// When the first event in `open` was written.
    since: Instant,
    /// The readers that need the open chunk next.
    need_open: Readers,
    /// The sequence number after the last event.
    head: u64,
    /// How many events at most make a chunk.
    limit: usize,
    /// How many events the last chunk had: what to reserve for the next.
    usual: usize,
    /// The bounds of the bounded readers, with how many readers have each.
    bounds: BTreeMap<u64, usize>,
    readers: usize,
    sleeping: WakerSet,
    /// The length of `open` that the sleepers wait for.
    wanted: usize,
    /// Whether a reader is to take what is there without lingering for more.
    hurried: bool,
    /// Writers that wait for room, each with its event and how many bytes that has.
    pub(super) wait_queue: WaitQueue<(E, u64)>,
    /// The bytes of what is not settled, if they are bounded.
    pub(super) weights: Weights,
    pub(super) closed: bool,
}

struct Sealed<E> {
    chunk: Arc<Chunk<E>>,
    needed: Readers,
}

/// How many readers need a chunk next, by whether they may be made to skip it.
#[derive(Default, Clone, Copy)]
struct Readers {
    unbounded: usize,
    bounded: usize,
}

impl Readers {
    fn count(&mut self, bound: Option<u64>) -> &mut usize {
        if bound.is_some() { &mut self.bounded } else { &mut self.unbounded }
    }
}

/// What a reader that asks for its next chunk is told.
pub(super) enum Next<E> {
    Chunk(Arc<Chunk<E>>),
    Wait,
    End,
}

/// What an append leaves to be done once the lock is released.
#[must_use = "somebody may sleep until it is done"]
pub(super) struct Aftermath<E> {
    sleepers: WakeList,
    unneeded: Unneeded<E>,
}

impl<E> Aftermath<E> {
    /// Wakes who is to be woken, and drops what nobody needs.
    pub(super) fn deal_with(self) {
        self.sleepers.wake();
        drop(self.unneeded);
    }
}

/// Chunks that nobody needs any more; their events are dropped outside the lock.
/// Most often it is one.
pub(super) type Unneeded<E> = SmallVec<[Arc<Chunk<E>>; 1]>;

impl<E> Log<E> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            sealed: VecDeque::new(),
            front: 0,
            open: Vec::new(),
            since: Instant::now(),
            need_open: Readers::default(),
            head: 0,
            limit,
            usual: 0,
            bounds: BTreeMap::new(),
            readers: 0,
            sleeping: WakerSet::new(),
            wanted: 1,
            hurried: false,
            wait_queue: WaitQueue::new(),
            weights: Weights::default(),
            closed: false,
        }
    }

    pub(super) fn has_readers(&self) -> bool {
        self.readers > 0
    }

    /// Counts an event that nobody reads.
    pub(super) fn count_unread(&mut self) {
        self.head += 1;
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Takes one event in.
    ///
    /// Most of the time there is nothing to do afterwards, and then nothing to hand back.
    pub(super) fn append(&mut self, event: E) -> Option<Aftermath<E>> {
        self.head += 1;
        if self.open.is_empty() {
            self.begin_chunk();
        }
        self.open.push(event);
        let ripe = self.open.len() >= self.wanted && !self.sleeping.is_empty();
        let full = self.open.len() >= self.limit;
        if !ripe && !full {
            return None;
        }
        Some(self.after_append(ripe, full))
    }

    /// Seals what is open after an append, and wakes those who linger for more.
    pub(super) fn cut(&mut self, aftermath: Option<Aftermath<E>>) -> Aftermath<E> {
        let unneeded = aftermath.map(|Aftermath { sleepers, unneeded }| (sleepers, unneeded));
        let (sleepers, mut unneeded) = unneeded.unwrap_or_else(|| (self.wake(), Unneeded::new()));
        self.seal();
        self.trim(&mut unneeded);
        Aftermath { sleepers, unneeded }
    }

    /// Starts the clock of the next chunk and makes room for as many events as the last one had.
    ///
    /// It comes once a chunk. Inlined, the registers that it needs are saved and restored at each
    /// append.
    #[inline(never)]
    fn begin_chunk(&mut self) {
        self.since = clock::now();
        self.open.reserve_exact(self.usual);
    }

    /// What is to be done after an append that made a chunk full, or ripe for those who sleep. Not
    /// inlined for the same reason.
    #[inline(never)]
    fn after_append(&mut self, ripe: bool, full: bool) -> Aftermath<E> {
        let sleepers = if ripe { self.wake() } else { WakeList::none() };
        let mut unneeded = Unneeded::new();
        if full {
            self.seal();
            self.trim(&mut unneeded);
        }
        Aftermath { sleepers, unneeded }
    }

    /// Takes the sleepers; those who come next wait for one event.
    pub(super) fn wake(&mut self) -> WakeList {
        self.wanted = 1;
        self.sleeping.take()
    }

    /// Has readers take what is there without lingering for more.
    pub(super) fn hurry(&mut self) -> WakeList {
        self.hurried = !self.open.is_empty();
        self.wake()
    }

    /// The same, where there is something to take and nobody has been told yet: so that whoever is woken
    /// may ask for it again without waking itself for ever.
    pub(super) fn hurry_once(&mut self) -> WakeList {
        if self.hurried || self.open.is_empty() { WakeList::none() } else { self.hurry() }
    }

    /// Gives the open events, if any, to all readers as one chunk.
    fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.usual = self.open.len();
        self.hurried = false;
        let events = std::mem::take(&mut self.open);
        let first = self.head - events.len() as u64;
        self.sealed.push_back(Sealed {
            chunk: Arc::new(Chunk { first, since: self.since, events }),
            needed: std::mem::take(&mut self.need_open),
        });
    }

    /// Lets go of the chunks at the front that nobody will ask for: no reader needs them next, or
    /// only bounded ones do, and they lie behind the largest bound.
    fn trim(&mut self, unneeded: &mut Unneeded<E>) {
        let bound = self.bounds.last_key_value().map_or(0, |(bound, _)| *bound);
        while let Some(Sealed { chunk, needed }) = self.sealed.front() {
            let skippable = needed.bounded == 0
                || chunk.end().saturating_add(bound) <= self.head
                || chunk.end() <= self.weights.floor();
            if needed.unbounded > 0 || !skippable {
                return;
            }
            let lagging = needed.bounded;
            self.front += 1;
            if let Some(sealed) = self.sealed.pop_front() {
                unneeded.push(sealed.chunk);
            }
            // Those who are made to skip it need the one after it.
            self.needed(self.front).bounded += lagging;
        }
    }

    /// A reader joins at the head; the number of the chunk it needs first.
    pub(super) fn add_reader_at_head(&mut self, bound: Option<u64>) -> u64 {
        self.seal();
        let next = self.front + self.sealed.len() as u64;
        self.add_reader(next, bound);
        next
    }

    /// Counts a reader that needs chunk `next`.
    pub(super) fn add_reader(&mut self, next: u64, bound: Option<u64>) {
        self.readers += 1;
        if let Some(bound) = bound {
            *self.bounds.entry(bound).or_default() += 1;
        }
        *self.needed(next).count(bound) += 1;
    }

    /// The reader that needed chunk `next` is gone.
    pub(super) fn remove_reader(&mut self, next: u64, bound: Option<u64>) -> (Vec<E>, Unneeded<E>) {
        self.readers -= 1;
        *self.needed(next).count(bound) -= 1;
        if let Some(bound) = bound
            && let Some(count) = self.bounds.get_mut(&bound)
        {
            *count -= 1;
            if *count == 0 {
                self.bounds.remove(&bound);
            }
        }
        let open = if self.readers == 0 { std::mem::take(&mut self.open) } else { Vec::new() };
        let mut unneeded = Unneeded::new();
        self.trim(&mut unneeded);
        (open, unneeded)
    }

    /// The next chunk for a reader that needs number `*next` and has read all before `at`.
    ///
    /// A reader that lingers leaves events open until they are `wanted` many.
    pub(super) fn next(
        &mut self,
        next: &mut u64,
        at: u64,
        bound: Option<u64>,
        wanted: usize,
        unneeded: &mut Unneeded<E>,
    ) -> Next<E> {
        *next = self.front.max(*next);
        loop {
            let index = (*next - self.front) as usize;
            if index == self.sealed.len() {
                let ripe = self.open.len() >= wanted || self.hurried || self.closed;
                if self.open.is_empty() || !ripe {
                    return if self.closed { Next::End } else { Next::Wait };
                }
                self.seal();
            }
            *self.sealed[index].needed.count(bound) -= 1;
            *next += 1;
            *self.needed(*next).count(bound) += 1;
            let chunk = self.take(index);
            if chunk.end() > at {
                self.trim(unneeded);
                return Next::Chunk(chunk);
            }
            // Nobody may need it but the one who skips it.
            unneeded.push(chunk);
        }
    }

    /// Chunk `index`, which is taken out if it is the front and nobody will ask for it.
    fn take(&mut self, index: usize) -> Arc<Chunk<E>> {
        let Readers { unbounded, bounded } = self.sealed[index].needed;
        if index == 0
            && unbounded + bounded == 0
            && let Some(front) = self.sealed.pop_front()
        {
            self.front += 1;
            return front.chunk;
        }
        Arc::clone(&self.sealed[index].chunk)
    }

    /// Who needs chunk `number` next, or the front if that was let go.
    fn needed(&mut self, number: u64) -> &mut Readers {
        let index = number.saturating_sub(self.front) as usize;
        self.sealed.get_mut(index).map_or(&mut self.need_open, |sealed| &mut sealed.needed)
    }

    /// Has the reader woken once `wanted` events are open, or at the close.
    pub(super) fn sleepers(&mut self, wanted: usize) -> &mut WakerSet {
        // What is open never grows beyond a chunk.
        let wanted = wanted.min(self.limit);
        self.wanted = if self.sleeping.is_empty() { wanted } else { self.wanted.min(wanted) };
        &mut self.sleeping
    }

    /// The waiters, for one who leaves.
    pub(super) fn sleeping(&mut self) -> &mut WakerSet {
        &mut self.sleeping
    }

    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// When the first event at or after `at` was written.
    pub(super) fn since(&self, at: u64) -> Option<Instant> {
        if at >= self.head {
            return None;
        }
        let chunk = self.sealed.partition_point(|sealed| sealed.chunk.end() <= at);
        Some(self.sealed.get(chunk).map_or(self.since, |sealed| sealed.chunk.since))
    }

    /// The chunks that hold what lies at or after `at`.
    pub(super) fn from(&mut self, at: u64) -> Vec<Arc<Chunk<E>>> {
        self.seal();
        let start = self.sealed.partition_point(|sealed| sealed.chunk.end() <= at);
        self.sealed.range(start..).map(|sealed| Arc::clone(&sealed.chunk)).collect()
    }
}

impl<E> Drop for Log<E> {
    fn drop(&mut self) {
        dispose_each(std::mem::take(&mut self.open));
    }
}
