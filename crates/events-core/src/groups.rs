//! Many sinks on few workers.
//!
//! Sinks of one kind that stand at the same place in a feed share a worker, a **group**: a write
//! then wakes groups, not sinks. A sink that has to wait keeps the task to itself, and the rest of
//! its group goes on in a new one, with a cursor of its own; so no sink waits for another. A worker
//! that has run dry, and whose sinks have not waited for a while, joins another that has run dry at
//! the same place.

use std::fmt;

use crate::{
    Event, Worker,
    seat::Seat,
    sync::{Arc, Mutex},
    worker::Member,
};

/// How many sinks a group holds at most: enough to make a wake-up cheap for each, few enough to
/// spread over the cores.
const LIMIT: usize = 512;

/// The groups of one kind of sink in one feed.
pub struct Groups<E: Event + Clone, D> {
    spawn: Spawn<E, D>,
    open: Mutex<Vec<Arc<Group<E, D>>>>,
}

type Spawn<E, D> = Box<dyn Fn(Worker<E, D>) + Send + Sync>;

/// A worker that others may join.
pub(crate) struct Group<E: Event + Clone, D> {
    seat: Arc<Seat<E>>,
    state: Mutex<State<E, D>>,
}

struct State<E: Event + Clone, D> {
    /// The sequence number at which it has run dry; `None` while it delivers.
    dry_at: Option<u64>,
    arrivals: Vec<Member<E, D>>,
    size: usize,
}

impl<E: Event + Clone, D> Groups<E, D> {
    /// Groups whose workers run once they are given to `spawn`.
    pub fn new(spawn: impl Fn(Worker<E, D>) + Send + Sync + 'static) -> Self {
        Self { spawn: Box::new(spawn), open: Mutex::new(Vec::new()) }
    }

    /// Runs `worker`.
    pub fn spawn(&self, worker: Worker<E, D>) {
        (self.spawn)(worker);
    }

    /// Moves `members`, who have run dry at `at`, to a group that has too. Without one, or if they
    /// are many themselves, `own` or else a new group at `seat` becomes one to join; it is returned.
    pub(crate) fn join(
        &self,
        members: &mut Vec<Member<E, D>>,
        own: Option<Arc<Group<E, D>>>,
        seat: &Arc<Seat<E>>,
        at: u64,
    ) -> Option<Arc<Group<E, D>>> {
        let mut open = self.open.lock();
        if let Some(own) = &own {
            // Those who joined it meanwhile come along.
            let mut state = own.state.lock();
            members.append(&mut state.arrivals);
            state.size = members.len();
        }
        let few = members.len() <= LIMIT / 2;
        for group in open.iter().filter(|_| few) {
            if own.as_ref().is_some_and(|own| Arc::ptr_eq(own, group)) {
                continue;
            }
            let mut state = group.state.lock();
            if state.dry_at == Some(at) && state.size + members.len() <= LIMIT {
                // All of them are to sit there before its worker can move one elsewhere.
                let called = members.iter().filter(|member| member.sit(&group.seat)).count() > 0;
                state.size += members.len();
                state.arrivals.append(members);
                drop(state);
                let seat = called.then(|| Arc::clone(&group.seat));
                open.retain(|group| own.as_ref().is_none_or(|own| !Arc::ptr_eq(own, group)));
                drop(open);
                seat.inspect(|seat| seat.call());
                return None;
            }
        }
        Some(own.unwrap_or_else(|| {
            let state = State { dry_at: None, arrivals: Vec::new(), size: members.len() };
            let group = Arc::new(Group { seat: Arc::clone(seat), state: Mutex::new(state) });
            open.push(Arc::clone(&group));
            group
        }))
    }

    /// Nobody joins `group` any more; those who had just come are returned.
    pub(crate) fn close(&self, group: &Arc<Group<E, D>>) -> Vec<Member<E, D>> {
        self.open.lock().retain(|open| !Arc::ptr_eq(open, group));
        std::mem::take(&mut group.state.lock().arrivals)
    }
}

impl<E: Event + Clone, D> Group<E, D> {
    /// Its worker has run dry at `at`: others may join.
    pub(crate) fn dry(&self, at: u64) {
        self.state.lock().dry_at = Some(at);
    }

    /// Its worker goes on, with those who have joined.
    pub(crate) fn go_on(&self, members: &mut Arc<Vec<Member<E, D>>>)
    where
        D: Clone,
    {
        let mut state = self.state.lock();
        state.dry_at = None;
        if !state.arrivals.is_empty() {
            Arc::make_mut(members).append(&mut state.arrivals);
        }
        state.size = members.len();
    }
}

impl<E: Event + Clone, D> fmt::Debug for Groups<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("open", &self.open.lock().len()).finish_non_exhaustive()
    }
}
