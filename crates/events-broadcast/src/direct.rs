//! The sinks that are called on the writer's thread.
//!
//! Writers take turns, so that all sinks see one total order. The list of members lies inside the
//! turn, and whoever holds it calls them without any other lock. Adding, removing and closing never
//! take the turn, or a sink that blocks would block them too: they note the change, and the next
//! writer applies it. For the same reason a turn is only ever tried for; who does not get it sleeps
//! among the waiting, from where a close can send it away.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use events_core::{
    Closing, ErrorKind, Event, Sink, SinkError, Stats,
    engine::{
        TraceLimit, Waiting, dispose_each, isolate,
        sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering},
        tell, wake,
    },
};

use crate::{
    presence::{Leaves, Presence},
    sink_id::SinkId,
};

pub(crate) struct Direct<E: ?Sized> {
    presence: Arc<Presence>,
    turn: Mutex<Vec<Arc<Member<E>>>>,
    /// How many events have been offered to the members. Written in the turn.
    offered: AtomicU64,
    registry: Mutex<Registry<E>>,
    /// Whether the registry has changes for the next turn.
    changed: AtomicBool,
    /// How many members there are, changes included.
    len: AtomicUsize,
    waiting: Mutex<VecDeque<(u64, Waker)>>,
    /// How many wait, to be read without the lock. Changed by reads and writes in one alone.
    queue: AtomicUsize,
    tickets: AtomicU64,
    /// The members that the close closes, the same for every closer.
    closing: OnceLock<Vec<Arc<Member<E>>>>,
}

/// Who is a member, as everybody but the writers sees it.
struct Registry<E: ?Sized> {
    members: BTreeMap<SinkId, Arc<Member<E>>>,
    by_address: HashMap<usize, SinkId>,
    changes: Vec<Change<E>>,
    /// How many events a member did not take whose write was `Ok`, and why the first.
    lost: u64,
    first_lost: Option<SinkError>,
}

enum Change<E: ?Sized> {
    Add(Arc<Member<E>>),
    Remove(SinkId),
}

struct Member<E: ?Sized> {
    id: SinkId,
    sink: Arc<dyn Sink<E>>,
    /// How many events had been offered to the others before it joined; none before it has.
    joined: OnceLock<u64>,
    failed: AtomicU64,
    /// How many failures were told.
    told: TraceLimit,
}

/// A writer's turn, with the list of members. When it is dropped, also in a panic, the lock is
/// released first, and then the next turn begins: fields are dropped in this order.
struct Turn<'a, E: ?Sized + Event> {
    members: MutexGuard<'a, Vec<Arc<Member<E>>>>,
    _next: NextTurn<'a, E>,
}

/// Begins the next turn when dropped.
struct NextTurn<'a, E: ?Sized + Event>(&'a Direct<E>);

impl<E: ?Sized + Event> Drop for NextTurn<'_, E> {
    fn drop(&mut self) {
        // A read and write in one: it comes either after that of a writer that has just queued, and
        // sees it, or before, and then that writer sees the free turn.
        let queue = &self.0.queue;
        if queue.compare_exchange(0, 0, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.0.wake_next();
        }
    }
}

/// What a turn leaves to be done once it has ended, since all of it may call back. Most leave
/// nothing.
struct Aftermath<E: ?Sized> {
    /// Those that have left, to be dropped.
    gone: Vec<Arc<Member<E>>>,
    /// Those that did not take the event, to be told of, and why not.
    failures: Vec<(Arc<Member<E>>, SinkError)>,
}

impl<E: ?Sized> Default for Aftermath<E> {
    fn default() -> Self {
        Self { gone: Vec::new(), failures: Vec::new() }
    }
}

impl<E: ?Sized> Aftermath<E> {
    #[cold]
    fn note_failure(this: &mut Option<Box<Self>>, member: &Arc<Member<E>>, error: SinkError) {
        member.failed.fetch_add(1, Ordering::Relaxed);
        this.get_or_insert_default().failures.push((Arc::clone(member), error));
    }

    #[cold]
    fn deal_with(self) {
        dispose_each(self.gone);
        for (member, error) in self.failures {
            member.tell(error.kind());
        }
    }
}

impl<E: ?Sized + Event> Direct<E> {
    pub(crate) fn new(presence: Arc<Presence>) -> Self {
        Self {
            presence,
            turn: Mutex::new(Vec::new()),
            offered: AtomicU64::new(0),
            registry: Mutex::new(Registry {
                members: BTreeMap::new(),
                by_address: HashMap::new(),
                changes: Vec::new(),
                lost: 0,
                first_lost: None,
            }),
            changed: AtomicBool::new(false),
            len: AtomicUsize::new(0),
            waiting: Mutex::new(VecDeque::new()),
            queue: AtomicUsize::new(0),
            tickets: AtomicU64::new(0),
            closing: OnceLock::new(),
        }
    }

    /// Names the calls into members: see [`isolate`].
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    pub(crate) fn check_open(&self) -> Result<(), SinkError> {
        self.presence.check()
    }

    /// Whether a write can do without a turn.
    pub(crate) fn is_unused(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0 && !self.changed.load(Ordering::Acquire)
    }

    /// Adds a member, or finds it among those there are.
    pub(crate) fn add(
        &self,
        sink: Arc<dyn Sink<E>>,
        next_id: impl FnOnce() -> SinkId,
    ) -> Result<SinkId, SinkError> {
        let address = Arc::as_ptr(&sink).addr();
        let mut registry = self.registry.lock();
        // Under the lock, so that a close finds every member that was ever added.
        if self.presence.is_closed() {
            return Err(SinkError::closed());
        }
        if let Some(id) = registry.by_address.get(&address) {
            return Ok(*id);
        }
        let id = next_id();
        let member = Arc::new(Member {
            id,
            sink,
            joined: OnceLock::new(),
            failed: AtomicU64::new(0),
            told: TraceLimit::new(),
        });
        registry.by_address.insert(address, id);
        registry.members.insert(id, Arc::clone(&member));
        registry.changes.push(Change::Add(member));
        self.presence.join();
        self.note_change(&registry);
        Ok(id)
    }

    /// Lets a member go. A write that is under way may still reach it.
    pub(crate) fn remove(&self, id: SinkId) -> Option<Arc<dyn Sink<E>>> {
        let member = self.forget(id, Leaves::ByChoice)?;
        // Between writes the list lets go of it at once.
        if let Some(mut turn) = self.try_turn() {
            let gone = self.apply_changes(&mut turn.members);
            drop(turn);
            dispose_each(gone);
        }
        Some(Arc::clone(&member.sink))
    }

    fn forget(&self, id: SinkId, why: Leaves) -> Option<Arc<Member<E>>> {
        let mut registry = self.registry.lock();
        let member = registry.members.remove(&id)?;
        registry.by_address.remove(&Arc::as_ptr(&member.sink).addr());
        registry.changes.push(Change::Remove(id));
        self.presence.leave(why);
        self.note_change(&registry);
        Some(member)
    }

    fn note_change(&self, registry: &Registry<E>) {
        self.len.store(registry.members.len(), Ordering::Release);
        self.changed.store(true, Ordering::Release);
    }

    /// Offers `event` to every member, if it is this writer's turn; `first` is done before, in the
    /// same turn.
    pub(crate) fn try_write(&self, event: &E, first: &First<'_>) -> Option<Result<(), SinkError>> {
        Some(self.write_in(self.try_turn()?, event, first))
    }

    /// The same, after waiting for the turn.
    pub(crate) async fn write(&self, event: &E, first: &First<'_>) -> Result<(), SinkError> {
        let mut place = Ticket { direct: self, number: None, left: None, wait: None };
        poll_fn(|cx| place.poll_turn(cx).map(|turn| self.write_in(turn?, event, first))).await
    }

    fn write_in(
        &self,
        mut turn: Turn<'_, E>,
        event: &E,
        first: &First<'_>,
    ) -> Result<(), SinkError> {
        let mut aftermath = None;
        if self.changed.load(Ordering::Acquire) {
            let gone = self.apply_changes(&mut turn.members);
            aftermath = Some(Box::new(Aftermath { gone, ..Aftermath::default() }));
        }
        let mut result = self.presence.check().and_then(|()| first());
        if result.is_ok() {
            result = self.offer(&turn.members, event, &mut aftermath);
        }
        drop(turn);
        if let Some(aftermath) = aftermath {
            aftermath.deal_with();
        }
        result
    }

    fn try_turn(&self) -> Option<Turn<'_, E>> {
        Some(Turn { members: self.turn.try_lock()?, _next: NextTurn(self) })
    }

    /// Calls every member.
    fn offer(
        &self,
        members: &[Arc<Member<E>>],
        event: &E,
        aftermath: &mut Option<Box<Aftermath<E>>>,
    ) -> Result<(), SinkError> {
        let mut called = 0;
        while called < members.len() {
            let panicked = isolate::call(self.id(), || {
                while let Some(member) = members.get(called) {
                    called += 1;
                    if let Err(error) = member.sink.write(event) {
                        Aftermath::note_failure(aftermath, member, error);
                    }
                }
            });
            if let Err(panicked) = panicked {
                Aftermath::note_failure(aftermath, &members[called - 1], panicked);
            }
        }
        self.offered.store(self.offered.load(Ordering::Relaxed) + 1, Ordering::Release);
        match aftermath {
            Some(aftermath) if !aftermath.failures.is_empty() => self.refused(&aftermath.failures),
            _ => Ok(()),
        }
    }

    /// Some did not take an event. Those that answered `Closed` leave; what the others did not take is
    /// for the close to tell.
    #[cold]
    fn refused(&self, failures: &[(Arc<Member<E>>, SinkError)]) -> Result<(), SinkError> {
        // In a close the members stay, for the closers; and the event has not reached them all.
        self.presence.check()?;
        for (member, _) in failures.iter().filter(|(_, error)| error.kind() == ErrorKind::Closed) {
            // The list, which lies in the turn, still holds it.
            drop(self.forget(member.id, Leaves::Closed));
        }
        let mut registry = self.registry.lock();
        // Under the lock, so that a close that began meanwhile tells of all that was accepted. If
        // all have left, nobody has the event.
        self.presence.check()?;
        registry.lost += failures.len() as u64;
        if let (None, Some((_, error))) = (&registry.first_lost, failures.first()) {
            registry.first_lost = Some(error.clone());
        }
        Ok(())
    }

    /// Brings the list up to date. Those that left are returned, to be dropped after the turn.
    fn apply_changes(&self, members: &mut Vec<Arc<Member<E>>>) -> Vec<Arc<Member<E>>> {
        let mut registry = self.registry.lock();
        self.changed.store(false, Ordering::Release);
        let changes = std::mem::take(&mut registry.changes);
        drop(registry);
        let mut gone = Vec::new();
        for change in changes {
            match change {
                Change::Add(member) => {
                    let _first = member.joined.set(self.offered.load(Ordering::Relaxed));
                    members.push(member);
                }
                Change::Remove(id) => {
                    gone.extend(members.extract_if(.., |member| member.id == id));
                }
            }
        }
        gone
    }

    fn wake_next(&self) {
        let mut waiting = self.waiting.lock();
        let next = waiting.pop_front();
        self.queue.swap(waiting.len(), Ordering::AcqRel);
        drop(waiting);
        if let Some((_, waker)) = next {
            wake(waker);
        }
    }

    /// Takes no more writes: those that wait are sent away.
    pub(crate) fn begin_close(&self) {
        let registry = self.registry.lock();
        self.presence.close();
        drop(registry);
        let mut waiting = self.waiting.lock();
        let all = std::mem::take(&mut *waiting);
        self.queue.swap(0, Ordering::AcqRel);
        drop(waiting);
        for (_, waker) in all {
            wake(waker);
        }
    }

    /// Closes every member, side by side.
    pub(crate) fn close(&self) -> Closing<'_> {
        self.begin_close();
        let registry = self.registry.lock();
        let members = registry.members.values().cloned().collect();
        let (lost, first_lost) = (registry.lost, registry.first_lost.clone());
        drop(registry);
        let lost = first_lost.map(|first| SinkError::undelivered_events(lost).with_source(first));
        let lost = Closing::ended(lost.map_or(Ok(()), Err));
        let members = self.closing.get_or_init(|| members);
        // Never waited for from inside a member: that would wait for the caller.
        let outside = Closing::new(poll_fn(|_| Poll::Ready(self.check_wait())));
        let members = members.iter().map(|member| isolate::close(self.id(), &*member.sink));
        Closing::all([outside, lost].into_iter().chain(members))
    }

    fn check_wait(&self) -> Result<(), SinkError> {
        if isolate::is_inside(self.id()) {
            return Err(SinkError::would_deadlock(
                "this is called from inside a sink of the broadcaster; do not wait, or wait \
                 elsewhere",
            ));
        }
        Ok(())
    }

    pub(crate) fn abort(&self) {
        // A close waits for those that were members when it began, also if one has left since.
        let closing = self.closing.get().cloned();
        let all = || self.registry.lock().members.values().cloned().collect();
        let members: Vec<_> = closing.unwrap_or_else(all);
        for member in members {
            if let Err(panicked) = isolate::call(self.id(), || member.sink.abort()) {
                let error = &panicked as &dyn std::error::Error;
                let sink = member.id.0;
                tell(|| tracing::error!(sink, error, "a sink panicked when aborted"));
            }
        }
    }

    pub(crate) fn stats(&self) -> Vec<(SinkId, Stats)> {
        let members: Vec<_> = self.registry.lock().members.values().cloned().collect();
        members.iter().map(|member| (member.id, member.stats(&self.offered))).collect()
    }
}

/// What a write does in its turn before it calls the members.
pub(crate) type First<'a> = dyn Fn() -> Result<(), SinkError> + Send + Sync + 'a;

impl<E: ?Sized> Member<E> {
    /// Call it after the turn.
    fn tell(&self, kind: ErrorKind) {
        self.told.tell(1, |count| {
            tracing::warn!(sink = self.id.0, count, %kind, "a sink did not take events");
        });
    }

    fn stats(&self, offered: &AtomicU64) -> Stats {
        let failed = self.failed.load(Ordering::Relaxed);
        let mut stats = Stats::default();
        if let Some(joined) = self.joined.get() {
            // An event counts once all were offered it, a failure as soon as it happens.
            stats.accepted = (offered.load(Ordering::Acquire) - joined).max(failed);
            stats.delivered = stats.accepted - failed;
            stats.failed = failed;
        }
        stats
    }
}

/// A writer's place among the waiting, left when dropped.
struct Ticket<'a, E: ?Sized + Event> {
    direct: &'a Direct<E>,
    number: Option<u64>,
    /// Its waker, once it has left: dropped after the turn, since it may be the last to hold a task.
    left: Option<Waker>,
    /// It waits inside of other deliveries.
    wait: Option<Waiting>,
}

impl<'a, E: ?Sized + Event> Ticket<'a, E> {
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<Result<Turn<'a, E>, SinkError>> {
        let direct = self.direct;
        direct.check_open()?;
        direct.check_wait()?;
        if self.wait.is_none() && isolate::is_inside_any() {
            self.wait = Some(Waiting::begin(direct.id())?);
        }
        self.queue_up(cx.waker());
        let Some(turn) = direct.try_turn() else {
            // The close may have sent everybody away just before.
            direct.check_open()?;
            return Poll::Pending;
        };
        // Before the turn ends, whose end wakes the next.
        self.leave();
        Poll::Ready(Ok(turn))
    }

    /// Waits at the end of the queue, or where it waits already; at the front if it was woken and
    /// another writer was quicker.
    fn queue_up(&mut self, waker: &Waker) {
        let direct = self.direct;
        // Declared before the lock, since what is replaced may be the last to hold a task.
        let mut waker = waker.clone();
        let mut waiting = direct.waiting.lock();
        if let Some(number) = self.number {
            match waiting.iter_mut().find(|(other, _)| *other == number) {
                Some((_, known)) => std::mem::swap(known, &mut waker),
                None => waiting.push_front((number, waker)),
            }
        } else {
            let number = direct.tickets.fetch_add(1, Ordering::Relaxed);
            waiting.push_back((number, waker));
            self.number = Some(number);
        }
        // Pairs with the read and write at the end of a turn.
        direct.queue.swap(waiting.len(), Ordering::AcqRel);
    }

    /// Leaves the queue. False if it had been woken already, or never queued.
    fn leave(&mut self) -> bool {
        let Some(number) = self.number.take() else { return false };
        let mut waiting = self.direct.waiting.lock();
        let place = waiting.iter().position(|(other, _)| *other == number);
        let left = place.and_then(|place| waiting.remove(place));
        self.direct.queue.swap(waiting.len(), Ordering::AcqRel);
        drop(waiting);
        self.left = left.map(|(_, waker)| waker);
        self.left.is_some()
    }
}

impl<E: ?Sized + Event> Drop for Ticket<'_, E> {
    fn drop(&mut self) {
        // One that was woken and goes without a turn passes the wake-up on.
        if self.number.is_some() && !self.leave() {
            self.direct.wake_next();
        }
    }
}

impl<E: ?Sized> fmt::Debug for Direct<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("len", &self.len).finish_non_exhaustive()
    }
}
