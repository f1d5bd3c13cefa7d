use std::{
    fmt,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    delivery::Delivery,
    direct::Direct,
    presence::Presence,
    roster::{Roster, SinkStats},
    sink_id::SinkId,
    subscription::Subscription,
};
use events_core::{
    AsyncSink, Close, CloseOnDrop, Closing, ErrorKind, Event, Sink, SinkError,
    engine::{
        clock,
        feed::{Feed, Refused},
        isolate,
        park::block_on,
        tell,
    },
};

/// How long the direct sinks have to close after an abort: the grace of two queues in a row.
const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// Hands each event to every sink and subscriber.
///
/// There are three ways to be one, and each fits a kind of work:
///
/// - [`add`](Self::add): a sink that is **called on the writer's thread**, in the order of writes,
///   which is the same for all. For what is quick: a [`Queue`](https://docs.rs/events-queue), a
///   counter. A write ends when all of them were called.
/// - [`spawn`](Self::spawn), [`pair`](Self::pair), [`spawn_tokio`](Self::spawn_tokio): a sink that
///   is **delivered to** by a thread or a task, from one log that all share. Writers never wait for
///   it. For what takes its time.
/// - [`subscribe`](Self::subscribe): code that **pulls**, an iterator or a stream.
///
/// A sink that is slow, fails, panics or is closed harms no other. A write is `Ok` whatever single sinks
/// make of it: the [`close`](Close::close) tells how many events some sink did not take, together with
/// what sinks that ended before it fell short of. One that answers `Closed` leaves. When the last one has
/// left for that reason, or with its worker, writes are [`Unavailable`](ErrorKind::Unavailable) until
/// another joins; without any sink from the start, or after the last one was taken out, what is written
/// goes nowhere by choice, and is `Ok`. A handle: clones share the
/// broadcaster, and it implements both [`Sink`] and [`AsyncSink`]. Dropping the last one closes it
/// without waiting: sinks with workers get what was written and are closed, and the direct ones are
/// let go.
///
/// ```
/// use std::sync::Arc;
/// use events_broadcast::Broadcaster;
/// use events_core::{Close, Memory, Sink};
///
/// let (direct, slow) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
/// let all = Broadcaster::new();
/// all.add(direct.clone())?;
/// all.spawn(Arc::clone(&slow)); // On a thread of its own.
/// all.write(&"deployed")?;
/// all.close().wait()?;
/// assert_eq!(direct.events(), ["deployed"]);
/// assert_eq!(slow.events(), ["deployed"]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct Broadcaster<E: Event + Clone> {
    handle: Arc<Handle<E>>,
}

/// What all handles share; workers hold only what is inside, so that the last handle's drop is
/// seen.
struct Handle<E: Event + Clone> {
    shared: Arc<Shared<E>>,
}

pub(crate) struct Shared<E> {
    pub(crate) feed: Arc<Feed<E>>,
    pub(crate) roster: Arc<Roster<E>>,
    direct: Direct<E>,
    pub(crate) presence: Arc<Presence>,
    next_id: AtomicU64,
    #[cfg(feature = "tokio")]
    pub(crate) groups: crate::tokio_groups::TokioGroups,
}

impl<E: Event + Clone> Broadcaster<E> {
    /// A broadcaster without sinks: until one joins, what is written is dropped.
    pub fn new() -> Self {
        let presence = Arc::new(Presence::new());
        let shared = Shared {
            feed: Arc::new(Feed::new()),
            roster: Arc::new(Roster::new(Arc::clone(&presence))),
            direct: Direct::new(Arc::clone(&presence)),
            presence,
            next_id: AtomicU64::new(0),
            #[cfg(feature = "tokio")]
            groups: crate::tokio_groups::TokioGroups::default(),
        };
        Self { handle: Arc::new(Handle { shared: Arc::new(shared) }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<E>> {
        &self.handle.shared
    }

    /// Adds a sink that every write calls, on the writer's thread. The same `Arc` is added once:
    /// adding it again answers the same id.
    ///
    /// # Errors
    /// `Closed`, and the sink was not added.
    pub fn add(&self, sink: Arc<dyn Sink<E>>) -> Result<SinkId, SinkError> {
        let shared = self.shared();
        shared.direct.add(sink, || shared.next_id())
    }

    /// Takes out a sink that was [added](Self::add). It is not closed, and a write that is under
    /// way is not waited for: it may still reach the sink.
    pub fn remove(&self, id: SinkId) -> Option<Arc<dyn Sink<E>>> {
        self.shared().direct.remove(id)
    }

    /// Receives what is written from now on, without bound. [`subscriber`](Self::subscriber) has
    /// the rest. After a close it ends at once.
    pub fn subscribe(&self) -> Subscription<E> {
        let shared = self.shared();
        let reader = shared.feed.reader(None);
        Subscription::new(reader, crate::lag::Lag::Unbounded, Arc::clone(&shared.presence))
    }

    /// Delivers what is written from now on to `sink`, on a thread of its own, without bound.
    ///
    /// # Panics
    /// If the operating system cannot start a thread, as [`std::thread::spawn`] does;
    /// [`Subscriber::spawn`](crate::Subscriber::spawn) returns an error instead.
    pub fn spawn(&self, sink: impl Sink<E> + 'static) -> Delivery<E> {
        self.subscriber().spawn(sink).expect("a thread for the sink")
    }

    /// Delivers what is written from now on to `sink`, by the future that is returned, without
    /// bound. Dropping the future closes the sink; what is pending is dropped and counted.
    #[expect(clippy::missing_panics_doc, reason = "the defaults are valid")]
    pub fn pair(
        &self,
        sink: impl AsyncSink<E> + 'static,
    ) -> (Delivery<E>, impl Future<Output = ()> + Send + 'static) {
        self.subscriber().pair(sink).expect("the defaults are valid")
    }

    /// Delivers what is written from now on to `sink`, in a task of the current tokio runtime,
    /// without bound.
    ///
    /// Sinks of one type share tasks, in groups: a write wakes groups, not sinks. One that has to
    /// wait gets a task of its own, so that no sink waits for another. A sink that blocks its
    /// thread stalls its group: [`spawn`](Self::spawn) is for such.
    ///
    /// # Panics
    /// Outside a runtime, as [`tokio::spawn`] does; [`Subscriber::spawn_tokio`](crate::Subscriber::spawn_tokio) returns an error
    /// instead.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(&self, sink: impl AsyncSink<E> + 'static) -> Delivery<E> {
        self.subscriber().spawn_tokio(sink).expect("a tokio runtime for the sink")
    }

    /// A barrier: ends once every event written before is delivered, failed or dropped at each sink
    /// that has a worker. What direct sinks buffer, and what subscribers have not pulled, is not
    /// waited for.
    pub fn flush(&self) -> Closing<'_> {
        let shared = self.shared();
        let accounts = shared.roster.accounts();
        let head = shared.feed.head();
        shared.feed.hurry();
        Closing::new(async move {
            // Most callers are neither inside a sink nor blocking one's worker.
            if isolate::is_inside_any() || clock::blocks_a_worker() {
                // Before any wait, since the others may depend on the one that would be for ever.
                for (_, account) in &accounts {
                    let at_once = clock::before(account.flush_to(head), ready(())).await;
                    if let Some(Err(error)) = at_once
                        && error.kind() == ErrorKind::WouldDeadlock
                    {
                        return Err(error);
                    }
                }
            }
            let mut errors = Vec::new();
            // One after the other, which takes no longer, since all are under way: many that are
            // waited for at once would all be looked at whenever one is done.
            for (_, account) in accounts {
                errors.extend(account.flush_to(head).await.err());
            }
            SinkError::combine(errors).map_or(Ok(()), Err)
        })
    }

    /// [`close`](Close::close), but at the end of `limit` what is left is given up: every sink is
    /// [aborted](Close::abort), and what those with workers have not committed is counted and
    /// handed to their dead letters. It ends a moment after the limit at the latest, however stuck
    /// the sinks.
    ///
    /// The limit counts from now. It is kept by whoever waits for the [`Closing`].
    ///
    /// # Errors
    /// [`Undelivered`](ErrorKind::Undelivered), with the number of events given up.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        let closing = self.close();
        let deadline = clock::sleep(limit);
        Closing::new(async move {
            match clock::before(closing, deadline).await {
                Some(result) => result,
                None => self.give_up().await,
            }
        })
    }

    /// A guard that calls [`close_within`](Self::close_within) when it is dropped, and waits for that: so
    /// that what was written gets there before `main` returns. It is a handle as well.
    ///
    /// It blocks its thread, for `limit` and a moment more at most. Where that would starve the worker,
    /// inside a task while a worker is a task too, the wait is refused, told through
    /// `tracing`, and the close goes on without it: in a task, `.await` a
    /// [`close_within`](Self::close_within) instead.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use events_broadcast::Broadcaster;
    /// use events_core::{Memory, Sink};
    ///
    /// let memory = Arc::new(Memory::new());
    /// {
    ///     let all = Broadcaster::new();
    ///     let _guard = all.close_on_drop(Duration::from_secs(10));
    ///     all.spawn(Arc::clone(&memory));
    ///     all.write(&"deployed")?;
    /// }
    /// assert_eq!(memory.events(), ["deployed"]);
    /// # Ok::<(), events_core::SinkError>(())
    /// ```
    pub fn close_on_drop(&self, limit: Duration) -> CloseOnDrop {
        let all = self.clone();
        CloseOnDrop::new(move || all.close_within(limit).wait())
    }

    /// Aborts all, and does not wait for those that are stuck.
    async fn give_up(&self) -> Result<(), SinkError> {
        tell(|| tracing::warn!("the close ran into its deadline"));
        self.abort();
        let shared = self.shared();
        let live = shared.roster.accounts().into_iter().filter(|(_, account)| !account.has_ended());
        let ends = live.map(|(_, account)| Closing::new(async move { account.end().await }));
        // Their errors are in the result of the close.
        let _told_again = Closing::all(ends).await;
        let direct = clock::before(shared.direct.close(), clock::sleep(CLOSE_GRACE)).await;
        let direct = direct.unwrap_or_else(|| {
            Err(SinkError::new(ErrorKind::Unavailable, "a sink did not close in time"))
        });
        let errors = [direct.err(), shared.roster.end().await.err()];
        SinkError::combine(errors.into_iter().flatten()).map_or(Ok(()), Err)
    }

    /// The account of each sink, in the order in which they joined. Those that left are not listed;
    /// those that a close closed are.
    pub fn stats(&self) -> Vec<SinkStats> {
        let shared = self.shared();
        let direct = shared.direct.stats();
        let direct = direct.into_iter().map(|(id, stats)| SinkStats { id, name: None, stats });
        let spawned = shared.roster.accounts().into_iter().map(|(id, account)| SinkStats {
            id,
            name: Some(Arc::from(account.name())),
            stats: account.stats(),
        });
        let mut all: Vec<_> = direct.chain(spawned).collect();
        all.sort_by_key(|sink| sink.id);
        all
    }
}

impl<E: Event + Clone> Shared<E> {
    pub(crate) fn next_id(&self) -> SinkId {
        SinkId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts `event` into the log that subscribers and sinks with workers read.
    fn push(&self, event: &E) -> Result<(), SinkError> {
        if !self.feed.has_readers() {
            // Perhaps a close that began after this write has let them go already.
            return self.direct.check_open();
        }
        self.feed.push(event.clone()).map_err(|refused| match refused {
            Refused::Closed(_) => SinkError::closed(),
            Refused::Full(_) => SinkError::full(),
        })
    }

    /// The same in a turn, which the event's copy and what the log lets go of must not wait for.
    fn push_in_turn(&self, event: &E) -> Result<(), SinkError> {
        if self.feed.has_readers() {
            isolate::inside(self.direct.id(), || self.push(event))
        } else {
            self.direct.check_open()
        }
    }

    /// The whole of a write, unless it has to wait for its turn.
    fn try_write(&self, event: &E) -> Option<Result<(), SinkError>> {
        if let Err(closed) = self.direct.check_open() {
            return Some(Err(closed));
        }
        if self.direct.is_unused() {
            return Some(self.push(event));
        }
        self.direct.try_write(event, &|| self.push_in_turn(event))
    }

    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.direct.write(event, &|| self.push_in_turn(event)).await
    }
}

impl<E: Event + Clone> Sink<E> for Broadcaster<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        let shared = self.shared();
        shared.try_write(event).unwrap_or_else(|| block_on(shared.write(event)))
    }
}

/// Direct sinks are called in the poll that writes; only for the turn is there anything to await.
impl<E: Event + Clone> AsyncSink<E> for Broadcaster<E> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        let shared = self.shared();
        match shared.try_write(event) {
            Some(result) => result,
            None => shared.write(event).await,
        }
    }
}

impl<E: Event + Clone> Close for Broadcaster<E> {
    /// Waits for the direct sinks and those with workers, which close side by side; not for
    /// subscribers, which receive what is left in their own time.
    ///
    /// [`Undelivered`](ErrorKind::Undelivered) counts an event once for each sink that did not get it:
    /// one with a worker, now or before it ended, whose dead letter did not take it either, or a direct
    /// one that did not take it. A direct sink that was closed before has told what became of the others
    /// to whoever closed it.
    fn close(&self) -> Closing<'_> {
        let shared = self.shared();
        shared.roster.begin_close();
        let direct = shared.direct.close();
        shared.feed.close();
        Closing::all([direct, Closing::new(shared.roster.end())])
    }

    fn abort(&self) {
        let shared = self.shared();
        shared.roster.begin_close();
        shared.direct.begin_close();
        shared.feed.close();
        shared.direct.abort();
        for (_, account) in shared.roster.accounts() {
            account.abort();
        }
    }
}

impl<E: Event + Clone> Default for Broadcaster<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Event + Clone> Clone for Broadcaster<E> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<E: Event + Clone> fmt::Debug for Broadcaster<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared();
        f.debug_struct("Broadcaster")
            .field("direct", &shared.direct)
            .field("roster", &shared.roster)
            .finish_non_exhaustive()
    }
}

impl<E: Event + Clone> Drop for Handle<E> {
    fn drop(&mut self) {
        self.shared.feed.close();
    }
}
