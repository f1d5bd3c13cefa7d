//! Where writers, deliveries and the committer meet: one lock, held for moments.

mod state;

use std::{cell::Cell, fmt, future::poll_fn, sync::Arc, task::Poll, time::Instant};

use events_core::{Overflow, SinkError, engine::WakeList};
use parking_lot::{Condvar, Mutex, MutexGuard};

pub(crate) use state::{State, Work, Write, count};

use crate::{
    completion::Promise,
    consumer_state::{Aftermath, ConsumerState},
    store::Store,
};

/// What is to be written to a file next, and how far that is.
///
/// The lock of a consumer may be taken under this one's.
#[derive(Debug)]
pub(crate) struct CommitQueue<E> {
    pub(crate) bounds: Bounds,
    state: Mutex<State<E>>,
    /// Where the committer sleeps.
    work: Condvar,
}

/// What bounds a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// In events that a consumer has left.
    pub(crate) capacity: u64,
    /// In bytes on the disk.
    pub(crate) max_size: u64,
    pub(crate) overflow: Overflow,
}

/// Events that were handed in.
#[derive(Debug)]
pub(crate) struct Offered {
    /// Tells of their commit.
    pub(crate) promise: Arc<Promise>,
    /// Whether they have to wait for room first.
    pub(crate) waits_for_room: bool,
}

/// Something else that the committer is asked to do with the file, or why it cannot.
pub(crate) struct Command(Box<Change>);

type Change = dyn FnOnce(Result<&mut Store, SinkError>) + Send;

impl Command {
    pub(crate) fn new(
        command: impl FnOnce(Result<&mut Store, SinkError>) + Send + 'static,
    ) -> Self {
        Self(Box::new(command))
    }

    pub(crate) fn run(self, store: Result<&mut Store, SinkError>) {
        self.0(store);
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").finish_non_exhaustive()
    }
}

thread_local! {
    /// Whether this thread commits or loads for a log.
    static IS_DISK_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// This thread commits or loads from now on: nobody may wait for a commit here, such as a `tracing`
/// subscriber that writes to a log.
pub(crate) fn become_disk_thread() {
    let _ = IS_DISK_THREAD.try_with(|is| is.set(true));
}

/// Refuses to wait for a commit where only this thread could make it.
pub(crate) fn check_thread() -> Result<(), SinkError> {
    if IS_DISK_THREAD.try_with(Cell::get).unwrap_or(false) {
        return Err(SinkError::would_deadlock(
            "this is called from the thread that commits; write from another one",
        ));
    }
    Ok(())
}

impl<E> CommitQueue<E> {
    /// Of a file whose next event gets the sequence number `head`, with `used` bytes in use.
    pub(crate) fn new(bounds: Bounds, head: u64, used: u64) -> Self {
        Self { bounds, state: Mutex::new(State::new(head, used)), work: Condvar::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock()
    }

    /// Hands events in, to wait for their commit, or for room first. `None` if the policy has
    /// dropped them.
    pub(crate) fn offer(
        &self,
        events: Vec<(String, Arc<E>)>,
    ) -> Result<Option<Offered>, SinkError> {
        check_thread()?;
        let write = Write { events, promise: Arc::default() };
        let mut state = self.lock();
        state.check_open()?;
        if write.cost() > self.bounds.max_size {
            return Err(SinkError::rejected("the event is larger than the file may be"));
        }
        if write.count() > self.bounds.capacity {
            return Err(SinkError::rejected("the batch holds more events than may wait"));
        }
        let promise = Arc::clone(&write.promise);
        if state.waiting.is_empty() && state.has_room(&self.bounds, &write) {
            state.enqueue(write);
            let wake = state.writes.len() >= state.worth;
            drop(state);
            if wake {
                self.work.notify_one();
            }
            return Ok(Some(Offered { promise, waits_for_room: false }));
        }
        match self.bounds.overflow {
            Overflow::DropNewest => {
                state.unwritten += write.count();
                drop(state);
                drop(write);
                Ok(None)
            }
            Overflow::Block | Overflow::BlockFor(_) => {
                state.waiting.push_back(write);
                // What is settled may make room once it is off the disk.
                state.hurry();
                drop(state);
                self.work.notify_one();
                Ok(Some(Offered { promise, waits_for_room: true }))
            }
            _ => Err(SinkError::full()),
        }
    }

    /// Takes events back that wait for room. False if they do no more.
    pub(crate) fn leave_line(&self, promise: &Arc<Promise>) -> bool {
        let mut state = self.lock();
        let place = state.waiting.iter().position(|write| Arc::ptr_eq(&write.promise, promise));
        let left = place.and_then(|place| state.waiting.remove(place));
        drop(state);
        left.is_some()
    }

    /// Takes events back whose commit has not begun.
    pub(crate) fn withdraw(&self, promise: &Arc<Promise>) {
        if self.leave_line(promise) {
            return;
        }
        let mut state = self.lock();
        let place = state.writes.iter().position(|write| Arc::ptr_eq(&write.promise, promise));
        let left = place.map(|place| state.writes.remove(place));
        if let Some(write) = &left {
            state.release(write.count(), write.cost());
        }
        drop(state);
    }

    /// Has the committer do something else.
    pub(crate) fn command(&self, command: Command) {
        let mut state = self.lock();
        if let Some(closed) = state.closed.clone() {
            drop(state);
            return command.run(Err(closed));
        }
        state.commands.push(command);
        drop(state);
        self.work.notify_one();
    }

    /// A consumer was created or found, and runs here from now on.
    pub(crate) fn attach(&self, consumer: Arc<ConsumerState<E>>) {
        self.lock().consumers.push(consumer);
    }

    /// A consumer has changed, as `aftermath` says.
    pub(crate) fn changed(&self, consumer: &Arc<ConsumerState<E>>, aftermath: Aftermath) {
        let mut state = self.lock();
        if aftermath.has_changes {
            state.add_changed(consumer);
        }
        if aftermath.is_urgent || !state.waiting.is_empty() {
            state.hurry();
        }
        drop(state);
        self.work.notify_one();
    }

    /// Takes no more events, for this reason. The consumers that are to end, unless it was closed
    /// before.
    pub(crate) fn close(&self, why: SinkError, broken: bool) -> Vec<Arc<ConsumerState<E>>> {
        let mut state = self.lock();
        let was_open = state.closed.is_none();
        if broken {
            state.broken.get_or_insert(why.clone());
        }
        state.closed.get_or_insert(why);
        let waiting = std::mem::take(&mut state.waiting);
        let concerned = if was_open || broken { state.consumers.clone() } else { Vec::new() };
        drop(state);
        self.work.notify_one();
        for write in waiting {
            write.promise.fulfil(Err(SinkError::closed()));
        }
        concerned
    }

    /// What to do next, as soon as there is something. Until `until`, writes wait until there are
    /// `group` of them: those whom the last commit has woken are on their way with the next. With
    /// `leftovers` to do, it does not wait.
    /// It ends at `poll` at the latest, if there is anything to do or not.
    pub(crate) fn next_work(
        &self,
        group: usize,
        until: Instant,
        leftovers: bool,
        poll: Option<Instant>,
    ) -> Work<E> {
        let mut state = self.lock();
        loop {
            state.admit(&self.bounds);
            let now = Instant::now();
            let gathering = now < until && state.closed.is_none();
            state.worth = if gathering { group } else { 1 };
            if let Some(work) = state.work(now, leftovers && !gathering) {
                return work;
            }
            if poll.is_some_and(|poll| poll <= now) || state.is_looked_for() {
                return Work::nothing();
            }
            let alarms =
                gathering.then_some(until).into_iter().chain(state.changes_due).chain(poll);
            match alarms.min() {
                Some(alarm) => drop(self.work.wait_until(&mut state, alarm)),
                None => self.work.wait(&mut state),
            }
        }
    }

    /// These were written, the first at the place `first`. Their writers are told.
    pub(crate) fn committed(&self, writes: &[Write<E>], first: u64, used: u64) {
        let count: u64 = writes.iter().map(Write::count).sum();
        let mut state = self.lock();
        state.release(count, writes.iter().map(Write::cost).sum());
        state.used = used;
        state.written += count;
        state.head = first + count;
        if count > 0 {
            for consumer in &state.consumers {
                consumer.lock().wrote(count, first + count);
            }
        }
        let readers = if count > 0 { state.readers.take() } else { WakeList::none() };
        drop(state);
        for write in writes {
            write.promise.fulfil(Ok(write.count()));
        }
        readers.wake();
    }

    /// Others have written so many events to the file, and `head` is the place of the next.
    pub(crate) fn written_by_others(&self, count: u64, head: u64) {
        let mut state = self.lock();
        state.head = head;
        for consumer in &state.consumers {
            consumer.lock().wrote(count, head);
        }
        let readers = state.readers.take();
        drop(state);
        readers.wake();
    }

    /// Somebody is about to commit events in a transaction of the program's own.
    #[cfg(feature = "outbox")]
    pub(crate) fn expect_others(&self) {
        self.lock().expect_others();
        self.work.notify_one();
    }

    /// These could not be written.
    pub(crate) fn not_committed(
        &self,
        writes: &[Write<E>],
        changed: Vec<Arc<ConsumerState<E>>>,
        error: &SinkError,
    ) {
        let mut state = self.lock();
        let count = writes.iter().map(Write::count).sum();
        state.release(count, writes.iter().map(Write::cost).sum());
        for consumer in changed {
            state.add_changed(&consumer);
        }
        state.postpone();
        drop(state);
        for write in writes {
            write.promise.fulfil(Err(error.clone()));
        }
    }

    /// A consumer has ended like this, and nothing of it is left to be written.
    pub(crate) fn detach(&self, consumer: &Arc<ConsumerState<E>>, outcome: Option<SinkError>) {
        let mut state = self.lock();
        state.consumers.retain(|other| !Arc::ptr_eq(other, consumer));
        state.outcomes.extend(outcome);
    }

    /// How the consumers and the file have ended.
    pub(crate) fn outcome(&self) -> Result<(), SinkError> {
        let state = self.lock();
        let errors: Vec<_> = state.outcomes.iter().chain(&state.broken).cloned().collect();
        drop(state);
        SinkError::combine(errors).map_or(Ok(()), Err)
    }

    /// The last: all is on the disk and the file is closed.
    pub(crate) fn finish(&self, outcome: &Result<(), SinkError>) {
        let mut state = self.lock();
        if state.finished.is_some() {
            return;
        }
        let why = state.closed.get_or_insert_with(SinkError::closed).clone();
        state.finished = Some(outcome.clone());
        let commands = std::mem::take(&mut state.commands);
        let mut writes = std::mem::take(&mut state.writes);
        writes.extend(std::mem::take(&mut state.waiting));
        let consumers = std::mem::take(&mut state.consumers);
        let closers = state.closers.take();
        let readers = state.readers.take();
        drop(state);
        for write in writes {
            write.promise.fulfil(Err(SinkError::closed()));
        }
        for command in commands {
            command.run(Err(why.clone()));
        }
        for consumer in consumers {
            consumer.finished.fulfil(outcome.clone().map(|()| 0));
            for promise in consumer.lock().take_flushes() {
                promise.fulfil(outcome.clone().map(|()| 0));
            }
        }
        closers.wake();
        readers.wake();
    }

    /// How it all ended, once it has.
    pub(crate) async fn finished(&self) -> Result<(), SinkError> {
        let mut key = None;
        poll_fn(|cx| {
            // Declared before the lock, and so dropped after it.
            let waker = cx.waker().clone();
            let mut state = self.lock();
            if let Some(outcome) = &state.finished {
                return Poll::Ready(outcome.clone());
            }
            let replaced = state.closers.register(&mut key, waker);
            drop(state);
            drop(replaced);
            Poll::Pending
        })
        .await
    }
}
