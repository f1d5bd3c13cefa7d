//! Many sinks on few workers.
//!
//! Sinks of one kind that stand at the same place in a feed share a worker, a **group**: a write
//! then wakes groups, not sinks. A sink that has to wait keeps the task to itself, and the rest of
//! its group goes on in a new one, with a cursor of its own; so no sink waits for another. A worker
//! that has run dry, and whose sinks have not waited for a while, joins another that has run dry at
//! the same place.
//!
//! So where events are few, one worker is woken for all sinks. One that does not keep up leaves half
//! of its sinks to another, until there are as many as cores.

use std::{fmt, pin::Pin};

use crate::{
    engine::{member::Member, worker_handle::WorkerHandle},
    event::Event,
    runtime::sync::{Arc, AtomicUsize, Mutex, Ordering},
};

/// How many sinks move to another group at most: moving takes time for each, and more of them are
/// enough to make a wake-up cheap.
const MOVERS: usize = 256;

/// The groups of one kind of sink in one feed.
pub struct Groups<E: Event + Clone, D> {
    spawn: Box<dyn Fn(Run) + Send + Sync>,
    /// How many workers can run at a time.
    cores: usize,
    /// How many sinks there are.
    size: AtomicUsize,
    open: Mutex<Vec<Arc<Group<E, D>>>>,
    /// How many of them are open, to be read without the lock.
    count: AtomicUsize,
}

/// A worker that runs once it is polled. Groups know no more of it.
pub type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A worker that others may join.
pub(crate) struct Group<E: Event + Clone, D> {
    /// Its worker, which is told through it that others have joined.
    handle: Arc<WorkerHandle<E>>,
    arrivals: Mutex<Vec<Member<E, D>>>,
}

impl<E: Event + Clone, D> Groups<E, D> {
    /// Groups whose workers run once they are given to `spawn`, up to `cores` of them at a time.
    pub fn new(cores: usize, spawn: impl Fn(Run) + Send + Sync + 'static) -> Self {
        Self {
            spawn: Box::new(spawn),
            cores: cores.max(1),
            size: AtomicUsize::new(0),
            open: Mutex::new(Vec::new()),
            count: AtomicUsize::new(0),
        }
    }

    /// There is one more sink.
    pub(crate) fn add_sink(&self) {
        self.size.fetch_add(1, Ordering::Relaxed);
    }

    /// There are `count` sinks less.
    pub(crate) fn remove_sinks(&self, count: usize) {
        self.size.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether a worker with so many sinks has more than one core's share of them.
    pub(crate) fn is_more_than_a_share(&self, sinks: usize) -> bool {
        let share = self.size.load(Ordering::Relaxed) / self.cores;
        // With some slack, so that not every sink that comes or goes makes for a new worker.
        sinks > share + share / 2
    }

    /// Runs `worker`.
    pub(crate) fn spawn(&self, worker: Run) {
        (self.spawn)(worker);
    }

    /// Whether it is worth looking for a group to [join](Self::join), for so many sinks with one of
    /// their own.
    pub(crate) fn has_others(&self, sinks: usize) -> bool {
        sinks <= MOVERS && self.count.load(Ordering::Relaxed) > 1
    }

    /// Moves `members`, who have run dry at `at`, to a group that has too. Without one, or if they
    /// are many themselves, `own` or else a new group of the worker behind `handle` becomes one to
    /// join; it is returned.
    pub(crate) fn join(
        &self,
        members: &mut Vec<Member<E, D>>,
        own: Option<Arc<Group<E, D>>>,
        handle: &Arc<WorkerHandle<E>>,
        at: u64,
    ) -> Option<Arc<Group<E, D>>> {
        let mut open = self.open.lock();
        let few = members.len() <= MOVERS;
        for group in open.iter().filter(|_| few) {
            if own.as_ref().is_some_and(|own| Arc::ptr_eq(own, group)) {
                continue;
            }
            let mut arrivals = group.arrivals.lock();
            if group.handle.try_join(at) {
                // All of them are attached to it before its worker can move one elsewhere.
                let notified =
                    members.iter().filter(|member| member.attach(&group.handle)).count() > 0;
                arrivals.append(members);
                drop(arrivals);
                let handle = notified.then(|| Arc::clone(&group.handle));
                open.retain(|group| own.as_ref().is_none_or(|own| !Arc::ptr_eq(own, group)));
                self.count.store(open.len(), Ordering::Relaxed);
                drop(open);
                handle.inspect(|handle| handle.notify());
                return None;
            }
        }
        Some(own.unwrap_or_else(|| {
            let arrivals = Mutex::new(Vec::new());
            let group = Arc::new(Group { handle: Arc::clone(handle), arrivals });
            open.push(Arc::clone(&group));
            self.count.store(open.len(), Ordering::Relaxed);
            group
        }))
    }

    /// Nobody joins `group` any more; those who had just come are returned.
    pub(crate) fn close(&self, group: &Arc<Group<E, D>>) -> Vec<Member<E, D>> {
        let mut open = self.open.lock();
        open.retain(|open| !Arc::ptr_eq(open, group));
        self.count.store(open.len(), Ordering::Relaxed);
        drop(open);
        std::mem::take(&mut group.arrivals.lock())
    }
}

impl<E: Event + Clone, D> Group<E, D> {
    /// Takes in those who have joined.
    pub(crate) fn take_arrivals(&self, members: &mut Arc<Vec<Member<E, D>>>)
    where
        D: Clone,
    {
        // Out of the lock first, since what a copy of the members does is theirs to know.
        let mut arrivals = std::mem::take(&mut *self.arrivals.lock());
        if !arrivals.is_empty() {
            Arc::make_mut(members).append(&mut arrivals);
        }
    }
}

impl<E: Event + Clone, D> fmt::Debug for Groups<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.count.load(Ordering::Relaxed);
        f.debug_struct("Groups").field("open", &open).finish_non_exhaustive()
    }
}
