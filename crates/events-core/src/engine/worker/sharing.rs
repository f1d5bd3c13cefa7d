//! How workers come together and part: see [`Groups`](crate::engine::Groups).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{STEADY, Worker, walk::Walk};
use crate::{
    engine::{
        account::Account, deliver::Deliver, feed::Chunk, member::Member,
        worker_handle::WorkerHandle,
    },
    event::Event,
};

/// How long a worker is busy, with more events waiting, before it leaves half of its sinks to
/// another: several times as long as it takes to wake that on another core.
pub(super) const BEHIND: Duration = Duration::from_micros(500);
/// The same if no more events wait: longer than it takes to reach what was not used for a while.
const BUSY: Duration = Duration::from_millis(10);
/// Of more than so many sinks, those that do not wait go on in two tasks: each that waits keeps a
/// list of those it was with, which would be too much if many waited at once.
const MANY: usize = 64;

impl<E: Event + Clone, D: Deliver<E>> Worker<E, D> {
    /// Whether nobody is left to deliver to, or all have gone to another worker.
    pub(super) fn joins_others(&mut self) -> bool {
        let at = self.reader.at();
        if let Some(groups) = &self.groups
            && !self.members.is_empty()
            && self.since_wait >= STEADY
            && self.reader.feed().head() == at
            && (self.group.is_none() || groups.has_others(self.members.len()))
        {
            let members = Arc::make_mut(&mut self.members);
            self.group = groups.join(members, self.group.take(), &self.handle, at);
        }
        self.members.is_empty()
    }

    /// Leaves half of the members, of those that have yet to get `chunk`, to another worker, if this
    /// one has been busy for too long.
    pub(super) fn share(&mut self, walk: &mut Walk, chunk: &Arc<Chunk<E>>) {
        let members = &self.members;
        let Some(groups) = &self.groups else { return };
        let keep = walk.at.max(members.len() / 2);
        // One that has had to wait is alone by now, and the walk may be further than that.
        if keep >= members.len() || !groups.is_more_than_a_share(members.len()) {
            return;
        }
        let busy = self.busy_since.get_or_insert_with(Instant::now).elapsed();
        let limit = if self.reader.feed().head() > chunk.end() { BEHIND } else { BUSY };
        // In a model no time passes.
        if busy < limit && !cfg!(loom) {
            return;
        }
        let others = members[keep..].to_vec();
        self.members = Arc::new(members[..keep].to_vec());
        walk.end = keep;
        // They are not to come together again before this has been worth it.
        self.since_wait = 0;
        self.hand_off(others, chunk, self.since_wait);
    }

    /// Leaves this task to member `waiting`; the others go on with `chunk` in a new one, or in two.
    pub(super) fn fork_in_pass(&mut self, waiting: usize, chunk: &Arc<Chunk<E>>) {
        self.since_wait = 0;
        if self.groups.is_none() || self.members.len() < 2 {
            return;
        }
        // Those that have had the chunk find nothing new in it.
        let mut others = Vec::clone(&self.members);
        let waiting = others.swap_remove(waiting);
        if others.len() > MANY {
            let half = others.split_off(others.len() / 2);
            self.hand_off(half, chunk, STEADY);
        }
        self.fork(&waiting.account, Arc::new(others), Some(chunk));
        self.members = Arc::new(vec![waiting]);
    }

    /// Has `others` go on with `chunk` in a new task, at a handle of their own.
    fn hand_off(&self, others: Vec<Member<E, D>>, chunk: &Arc<Chunk<E>>, since_wait: usize) {
        let Some(groups) = &self.groups else { return };
        let handle = Arc::new(WorkerHandle::new(Some(Arc::clone(chunk))));
        if others.iter().filter(|member| member.attach(&handle)).count() > 0 {
            handle.notify();
        }
        groups
            .spawn(Box::pin(self.branch(handle, Arc::new(others), Some(chunk), since_wait).run()));
    }

    /// Has `others` go on in a new task, away from the sink that waits.
    pub(super) fn fork(
        &mut self,
        waiting: &Account<E>,
        others: Arc<Vec<Member<E, D>>>,
        chunk: Option<&Arc<Chunk<E>>>,
    ) {
        let Some(groups) = self.groups.clone().filter(|_| !others.is_empty()) else {
            self.members = others;
            return;
        };
        let handle = Arc::new(WorkerHandle::new(chunk.cloned()));
        if waiting.attach(&handle) {
            handle.notify();
        }
        let handle = std::mem::replace(&mut self.handle, handle);
        let mut worker = self.branch(handle, others, chunk, STEADY);
        worker.group = self.group.take();
        groups.spawn(Box::pin(worker.run()));
    }

    /// A worker that goes on from here with `members`, first with `chunk`.
    fn branch(
        &self,
        handle: Arc<WorkerHandle<E>>,
        members: Arc<Vec<Member<E, D>>>,
        chunk: Option<&Arc<Chunk<E>>>,
        since_wait: usize,
    ) -> Self {
        Self {
            reader: self.reader.clone(),
            handle,
            members,
            in_hand: chunk.cloned(),
            linger: self.linger,
            groups: self.groups.clone(),
            group: None,
            since_wait,
            delivered_this_turn: 0,
            busy_since: None,
        }
    }
}
