use std::{fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

use events_core::{
    Close, Closing, ErrorKind, Event, SinkError, Stats,
    engine::{Account, Mode, clock, tell},
};

use crate::{
    commit_queue::Command,
    completion::{Completion, Promise},
    consumer_rows,
    consumer_state::{ConsumerState, Locked},
    dead_letters::{DeadLetters, Which},
    dead_rows,
    log_state::LogState,
    open_error::OpenError,
    spool::Spool,
    start::Start,
    store::{self, Store},
    stored::Stored,
};

/// One who reads a [`DurableLog`](crate::DurableLog) from a place of its own: the handle of it.
///
/// Clones share the consumer. Dropping the handles changes nothing: it goes on as long as its log.
///
/// ```
/// use std::sync::Arc;
/// use events_core::{Close, Memory, Sink};
/// use events_durable::{DurableLog, Plain};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let log = DurableLog::<String>::open(path)?;
/// let memory = Arc::new(Memory::new());
/// let audit = log.consumer("audit").spawn(Plain::new(Arc::clone(&memory)))?;
/// log.write(&"started".to_owned())?;
/// audit.flush().wait()?;
/// assert_eq!(memory.events(), ["started"]);
/// assert_eq!(audit.stats().delivered, 1);
/// log.close().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Consumer<E> {
    log: Arc<LogState<E>>,
    state: Arc<ConsumerState<E>>,
    account: Arc<Account<Stored<E>>>,
}

impl<E: Event> Consumer<E> {
    pub(crate) const fn new(
        log: Arc<LogState<E>>,
        state: Arc<ConsumerState<E>>,
        account: Arc<Account<Stored<E>>>,
    ) -> Self {
        Self { log, state, account }
    }

    /// Its name, by which the file knows it.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// What became of the events of this run, and of those it found in the file: they are
    /// accepted too, as are dead letters put back. After its end, what is pending is kept in the
    /// file for the next run.
    ///
    /// Events that the log let go of before this consumer had them are among the
    /// [dropped](events_core::Dropped::overflow) ones.
    pub fn stats(&self) -> Stats {
        self.state.lock().stats()
    }

    /// A barrier: ends once every event written before is delivered, dropped or a dead letter, and
    /// that is on the disk. What is parked is waited for; what the sink itself buffers is not.
    pub fn flush(&self) -> Closing<'_> {
        let promise = Arc::<Promise>::default();
        let mut locked = self.state.lock();
        if locked.has_ended() {
            drop(locked);
            return Closing::new(self.ended());
        }
        let aftermath = locked.flush(Arc::clone(&promise));
        drop(locked);
        self.log.follow_up(&self.state, aftermath);
        // A batch that waits for more is to go.
        self.log.loads.add(&self.state);
        Closing::new(async move { self.answered(&promise).await })
    }

    /// Delivers nothing more until [`resume`](Self::resume). What is in the sink's hands goes on.
    /// A close ends it.
    pub fn pause(&self) {
        self.change(|locked| {
            if locked.mode() == Mode::Running {
                locked.set_mode(Mode::Paused);
            }
        });
    }

    /// Delivers again after a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.change(|locked| {
            if locked.mode() == Mode::Paused {
                locked.set_mode(Mode::Running);
            }
        });
    }

    /// Delivers nothing more until [`enable`](Self::enable), in later runs too. What is in the
    /// sink's hands goes on. A close does not wait for the events that are left: they are kept.
    pub fn disable(&self) {
        self.change(|locked| locked.set_mode(Mode::Disabled));
    }

    /// Delivers again after it was [disabled](Self::disable), by an operator or by
    /// [`disable_after`](crate::ConsumerBuilder::disable_after).
    pub fn enable(&self) {
        self.change(|locked| {
            if locked.mode() == Mode::Disabled {
                locked.set_mode(Mode::Running);
            }
        });
    }

    /// Whether it delivers, is paused or disabled.
    pub fn mode(&self) -> Mode {
        self.state.lock().mode()
    }

    /// [`close`](Close::close), but at the end of `limit` the delivery stops: the sink is
    /// [aborted](Close::abort), and what it has not committed stays in the file for the next run.
    /// It ends a moment after the limit at the latest, however stuck the sink.
    ///
    /// The limit counts from now. It is kept by whoever waits for the [`Closing`]; if nobody does,
    /// the close goes on without it.
    ///
    /// # Errors
    /// [`Undelivered`](events_core::ErrorKind::Undelivered), with the number of events kept.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.begin_close();
        let deadline = clock::sleep(limit);
        Closing::new(async move {
            if let Some(outcome) = clock::before(self.ended(), deadline).await {
                return outcome;
            }
            let consumer = self.account.name();
            tell(|| tracing::warn!(consumer, "the close ran into its deadline"));
            self.log.abort_one(&self.state);
            self.ended().await
        })
    }

    /// The events that the sink refused for good, and those that do not decode, in the order they
    /// were written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn dead_letters(&self) -> Result<DeadLetters, OpenError> {
        Ok(Spool::open(&self.log.path)?.dead_letters_of(&self.state.name))
    }

    /// Puts dead letters back, to be delivered as soon as there is room, whatever the bounds of the
    /// log: how many.
    pub fn replay(&self, which: Which) -> Completion {
        let state = Arc::clone(&self.state);
        self.command(move |store| {
            let (connection, openings) = (&store.connection, &store.openings);
            let count = dead_rows::replay(connection, openings, state.number, &which)?;
            state.lock().replayed(count);
            Ok(count)
        })
    }

    /// Throws dead letters away: how many.
    pub fn purge(&self, which: Which) -> Completion {
        let state = Arc::clone(&self.state);
        self.command(move |store| {
            let (connection, openings) = (&store.connection, &store.openings);
            let count = dead_rows::purge(connection, openings, state.number, &which)?;
            dead_rows::sweep(connection, store.trimmed)?;
            Ok(count)
        })
    }

    /// Delivers what is kept from `from` up to `to` once more, whether or not it was delivered
    /// before, beside all that waits: how many events. An event that waits or is a dead letter is
    /// left as it is.
    ///
    /// What is kept is a matter of [retention](crate::Retention): by default nothing is that every
    /// consumer has.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use events_core::{Close, Memory, Sink};
    /// use events_durable::{DurableLog, Plain, Retention, Start};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("events.db");
    /// let week = Retention::age(Duration::from_hours(24 * 7));
    /// let log = DurableLog::<u32>::builder(path).retention(week).open()?;
    /// let memory = Arc::new(Memory::new());
    /// let numbers = log.consumer("numbers").spawn(Plain::new(Arc::clone(&memory)))?;
    /// (1..=3).try_for_each(|number| log.write(&number))?;
    /// numbers.flush().wait()?;
    /// assert_eq!(numbers.replay_range(Start::Last(2), Start::Latest).wait()?, 2);
    /// numbers.flush().wait()?;
    /// assert_eq!(memory.events(), [1, 2, 3, 2, 3]);
    /// log.close().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replay_range(&self, from: Start, to: Start) -> Completion {
        let state = Arc::clone(&self.state);
        self.command(move |store| {
            let from = consumer_rows::position(store, from)?;
            let to = consumer_rows::position(store, to)?.min(state.lock().position());
            let count = consumer_rows::set_aside(&store.connection, state.number, from..to)?;
            state.lock().replayed(count);
            Ok(count)
        })
    }

    /// Goes on from another place. What was in front of it and is not in the sink's hands is
    /// passed over, and counted as dropped: how many events. Going back is
    /// [`replay_range`](Self::replay_range).
    pub fn skip_to(&self, start: Start) -> Completion {
        let (log, state) = (Arc::clone(&self.log), Arc::clone(&self.state));
        self.command(move |store: &mut Store| {
            let to = consumer_rows::position(store, start)?;
            let mut locked = state.lock();
            let mut skipped = locked.drop_before(to);
            let next = locked.next_load();
            if next < to {
                let count = store::count_in(&store.connection, &(next..to))?;
                locked.drop_unloaded(count, to);
                skipped += count;
            }
            drop(locked);
            log.follow_up(&state, state.change(|_| {}));
            Ok(skipped)
        })
    }

    /// Ends it without delivering what is left, and has the file forget it: the log keeps nothing
    /// for it any more.
    pub fn delete(&self) -> Closing<'_> {
        self.state.lock().forget();
        self.log.abort_one(&self.state);
        Closing::new(async {
            if let Err(error) = self.ended().await
                && error.kind() == ErrorKind::WouldDeadlock
            {
                return Err(error);
            }
            let name = Arc::clone(&self.state.name);
            let deleted = self.command(move |store| {
                let deleted = consumer_rows::delete(&store.connection, &name)?;
                dead_rows::sweep(&store.connection, store.trimmed)?;
                Ok(u64::from(deleted))
            });
            deleted.await.map(|_| ())
        })
    }

    fn command(
        &self,
        command: impl FnOnce(&mut Store) -> rusqlite::Result<u64> + Send + 'static,
    ) -> Completion {
        let promise = Arc::<Promise>::default();
        let (log, state) = (Arc::clone(&self.log), Arc::clone(&self.state));
        let answer = Arc::clone(&promise);
        self.log.commits.command(Command::new(move |store| {
            let done = store.and_then(|store| command(store).map_err(SinkError::unavailable));
            log.loads.add(&state);
            answer.fulfil(done);
        }));
        Completion::new(promise)
    }

    fn change(&self, change: impl FnOnce(&mut Locked)) {
        let aftermath = self.state.change(change);
        self.log.follow_up(&self.state, aftermath);
    }

    fn begin_close(&self) {
        let head = self.log.commits.lock().head_after_writes();
        self.change(|locked| locked.close_at(head));
        // Though nothing may have changed, it may be over.
        self.log.loads.add(&self.state);
    }

    /// How it ended, once all of it is on the disk.
    async fn ended(&self) -> Result<(), SinkError> {
        // Who waits for the delivery's end takes over from a sink that is stuck.
        match self.account.end().await {
            Err(error) if !self.account.has_ended() => Err(error),
            _ => self.answered(&self.state.finished).await,
        }
    }

    /// Waits for what depends on the delivery.
    async fn answered(&self, promise: &Promise) -> Result<(), SinkError> {
        let (mut key, mut wait) = (None, None);
        poll_fn(|cx| match promise.poll(&mut key, cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map(|_| ())),
            Poll::Pending => match self.account.begin_wait(&mut wait) {
                Ok(()) => Poll::Pending,
                Err(deadlock) => Poll::Ready(Err(deadlock)),
            },
        })
        .await
    }
}

impl<E: Event> Close for Consumer<E> {
    /// Delivers what was written before, and ends; the log goes on.
    fn close(&self) -> Closing<'_> {
        self.begin_close();
        Closing::new(self.ended())
    }

    /// Stops the delivery; what the sink has not committed stays in the file for the next run.
    fn abort(&self) {
        self.log.abort_one(&self.state);
    }
}

impl<E> Clone for Consumer<E> {
    fn clone(&self) -> Self {
        Self {
            log: Arc::clone(&self.log),
            state: Arc::clone(&self.state),
            account: Arc::clone(&self.account),
        }
    }
}

impl<E: Event> fmt::Debug for Consumer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
