use std::{fmt, path::Path, slice, sync::Arc, time::Duration};

use events_core::{
    AsyncSink, Close, Closing, Event, Sink, SinkError,
    engine::{Waiting, clock, park::block_on, tell},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    commit_queue::{Command, CommitQueue},
    commit_wait::CommitWait,
    completion::{Completion, Promise},
    consumer_builder::{ConsumerBuilder, Single},
    consumer_rows, dead_rows,
    encoding::encode,
    event_id::EventId,
    history::History,
    log_state::LogState,
    open_error::OpenError,
    read::Read,
    spool::Spool,
    start::Start,
    store::Store,
};

/// A log on disk: a write is `Ok` once the event is committed to the file, and any number of named
/// consumers deliver it from there, each at its own pace.
///
/// A handle: clones share the log. It implements [`Sink`] and [`AsyncSink`], for one event and for a
/// batch, which is committed as a whole or not at all. Writers that come together share one commit.
/// The order of the events is that of the calls: a future of `write` has its place before it is
/// polled, and any number of them may be under way.
///
/// - An event is stored once, however many [consumers](Self::consumer) there are, and kept until
///   each has it, or as [`Retention`](crate::Retention) says.
/// - What a consumer has settled survives the process: where it stands, what is parked until when
///   and after how many attempts, what is a dead letter, whether it is disabled. A process that ends
///   suddenly delivers the last events again, with the same [ids](crate::Stored::id).
/// - One can [read](Self::read) what was written without being a consumer.
///
/// Events are stored as JSON. A write looks whether its event comes back from there as it was; one
/// that would not is `Rejected`, such as a number that is not finite, a `Some(None)`, or what is
/// nested more than 127 deep. That is judged by what the event tells serde: a field that it skips,
/// and the variant of an `untagged` enum, are not seen.
///
/// Dropping the last handle closes the log without waiting: its consumers go on as long as the
/// process lives, and what is left stays in the file. A write whose future is dropped is taken back,
/// unless its commit has begun: then the event is in the log or not, as after any interrupted
/// request.
///
/// After a `fork` the log is the parent's: the child must not use it, and should replace itself
/// with another program.
///
/// # Default
/// Durable against power failure, as large as the disk, kept until every consumer has it.
/// [`builder`](Self::builder) has the rest.
///
/// ```
/// use std::sync::Arc;
/// use events_core::{Close, Memory, Sink};
/// use events_durable::{DurableLog, Plain};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("events.db");
/// let log = DurableLog::<String>::open(path)?;
/// let (audit, search) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
/// log.consumer("audit").spawn(Plain::new(Arc::clone(&audit)))?;
/// log.consumer("search").spawn(Plain::new(Arc::clone(&search)))?;
///
/// log.write(&"signed up".to_owned())?; // on the disk
/// log.write(["paid", "left"].map(String::from).as_slice())?; // both or none
/// log.close().wait()?; // delivered
/// assert_eq!(audit.events(), ["signed up", "paid", "left"]);
/// assert_eq!(search.events(), audit.events());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DurableLog<E: Event> {
    handle: Arc<Handle<E>>,
}

/// What all handles share; neither consumers nor committer hold it, so that the last handle's drop
/// is seen.
struct Handle<E: Event> {
    state: Arc<LogState<E>>,
}

/// What there is in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// How many events were written in this run.
    pub written: u64,
    /// How many events were accepted in this run only to be dropped, since the log was full and
    /// [`Overflow::DropNewest`](events_core::Overflow::DropNewest) says so.
    pub dropped: u64,
    /// How many consumers run here.
    pub consumers: usize,
}

impl<E: Event + DeserializeOwned> DurableLog<E> {
    /// The consumer of this name, to be set up and started.
    ///
    /// A consumer comes to be with its first start, and is known to the file until it is
    /// [deleted](Self::delete_consumer): meanwhile the log keeps for it what it does not have. One
    /// that the file knows goes on where it stands; its settings may be others than before.
    pub fn consumer(&self, name: impl Into<Arc<str>>) -> ConsumerBuilder<E, Single> {
        ConsumerBuilder::new(Arc::clone(&self.handle.state), name.into())
    }

    /// Reads what was written, from `start` on, and goes on with what is being written, without a
    /// gap and without being a consumer: the log keeps nothing for it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, start: Start) -> Result<Read<E>, OpenError> {
        Read::open(Arc::clone(&self.handle.state), start)
    }
}

impl<E: Event> DurableLog<E> {
    pub(crate) fn new(state: Arc<LogState<E>>) -> Self {
        Self { handle: Arc::new(Handle { state }) }
    }

    pub(crate) fn state(&self) -> &Arc<LogState<E>> {
        &self.handle.state
    }

    fn commits(&self) -> &CommitQueue<E> {
        &self.handle.state.commits
    }

    /// How much there is in it.
    pub fn stats(&self) -> LogStats {
        let state = self.commits().lock();
        let (written, dropped) = state.counts();
        LogStats { written, dropped, consumers: state.consumers().len() }
    }

    /// Its name in traces, and that of its threads.
    pub fn name(&self) -> &str {
        &self.handle.state.name
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.handle.state.path
    }

    /// A look inside the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn spool(&self) -> Result<Spool, OpenError> {
        Spool::open(self.path())
    }

    /// What became of the event with this id, as far as the file tells: `None` if it is no longer
    /// kept. See [`Retention`](crate::Retention).
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn history(&self, id: EventId) -> Result<Option<History>, OpenError> {
        self.spool()?.history(id)
    }

    /// Has the file forget the consumer of this name, which must not run: how many of its name
    /// there were. One that runs is [asked itself](crate::Consumer::delete).
    pub fn delete_consumer(&self, name: impl Into<String>) -> Completion {
        let (name, state) = (name.into(), Arc::clone(&self.handle.state));
        let promise = Arc::<Promise>::default();
        let answer = Arc::clone(&promise);
        self.commits().command(Command::new(move |store| {
            let delete = |store: &mut Store| {
                let runs = state.commits.lock().consumers().iter().any(|one| *one.name == *name);
                if runs {
                    return Err(SinkError::rejected("the consumer runs; delete it by its handle"));
                }
                let deleted = consumer_rows::delete(&store.connection, &name);
                let swept = deleted.and_then(|deleted| {
                    dead_rows::sweep(&store.connection, store.trimmed)?;
                    Ok(u64::from(deleted))
                });
                swept.map_err(SinkError::unavailable)
            };
            answer.fulfil(store.and_then(delete));
        }));
        Completion::new(promise)
    }

    /// [`close`](Close::close), but at the end of `limit` the delivery stops: the sinks are
    /// [aborted](Close::abort), and what they have not committed stays in the file for the next
    /// run. It ends a moment after the limit at the latest, however stuck the sinks.
    ///
    /// The limit counts from now. It is kept by whoever waits for the [`Closing`]; if nobody does,
    /// the close goes on without it.
    ///
    /// # Errors
    /// [`Undelivered`](events_core::ErrorKind::Undelivered), with the number of events kept.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        let state = &*self.handle.state;
        state.close();
        let deadline = clock::sleep(limit);
        Closing::new(async move {
            if let Some(outcome) = clock::before(self.ended(), deadline).await {
                return outcome;
            }
            let log = &*state.name;
            tell(|| tracing::warn!(log, "the close ran into its deadline"));
            state.abort();
            self.ended().await
        })
    }

    /// How the consumers and then the committer ended.
    async fn ended(&self) -> Result<(), SinkError> {
        let consumers = self.commits().lock().consumers().to_vec();
        let accounts = consumers.iter().filter_map(|consumer| consumer.account());
        // Who waits for a delivery's end takes over from a sink that is stuck.
        let deliveries = accounts.map(|account| {
            Closing::new(async move {
                match account.end().await {
                    Err(error) if !account.has_ended() => Err(error),
                    // What else it says is told by the committer.
                    _ => Ok(()),
                }
            })
        });
        Closing::all(deliveries).await?;
        self.commits().finished().await
    }

    /// Whether waiting for the consumers, here and now, would be for ever: if this is inside of a
    /// delivery, that waits for them as long as `waits` is there.
    fn begin_wait(&self, waits: &mut Vec<Option<Waiting>>) -> Result<(), SinkError> {
        let consumers = self.commits().lock().consumers().to_vec();
        waits.resize_with(consumers.len().max(waits.len()), || None);
        let accounts = consumers.iter().map(|consumer| consumer.account());
        for (account, wait) in accounts.zip(waits) {
            account.map_or(Ok(()), |account| account.begin_wait(wait))?;
        }
        Ok(())
    }
}

impl<E: Event + Serialize + DeserializeOwned> DurableLog<E> {
    /// Hands events in at once, and waits for their commit when it is polled.
    fn commit(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        let offered = self.offer(events);
        async move {
            match offered? {
                Some(wait) => {
                    // Room depends on all of the consumers.
                    let mut waits = Vec::new();
                    wait.committed(|| self.begin_wait(&mut waits)).await
                }
                None => Ok(()),
            }
        }
    }

    fn offer(&self, events: &[E]) -> Result<Option<CommitWait<'_, E>>, SinkError> {
        self.commits().lock().check_open()?;
        let encoded = |(at, event)| {
            let (text, event) = encode(event).map_err(|error| (at, error))?;
            Ok((text, Arc::new(event)))
        };
        let encoded: Result<Vec<_>, (usize, SinkError)> =
            events.iter().enumerate().map(encoded).collect();
        let encoded = encoded.map_err(|(at, error)| match events.len() {
            1 => error,
            _ => error.clone().with_source(format!("event {at} of the batch: {error}")),
        })?;
        if encoded.is_empty() {
            return Ok(None);
        }
        let count = encoded.len() as u64;
        let offered = self.commits().offer(encoded)?;
        if offered.is_none() {
            let log = &*self.handle.state.name;
            self.handle.state.dropped.tell(count, |count| {
                tracing::warn!(log, count, "dropped the newest events: the log is full");
            });
        }
        Ok(offered.map(|offered| CommitWait::new(self.commits(), offered)))
    }
}

impl<E: Event + Serialize + DeserializeOwned> Sink<E> for DurableLog<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        block_on(self.commit(slice::from_ref(event)))
    }
}

impl<E: Event + Serialize + DeserializeOwned> AsyncSink<E> for DurableLog<E> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.commit(slice::from_ref(event))
    }
}

/// The batch is committed as a whole or not at all.
impl<E: Event + Serialize + DeserializeOwned> Sink<[E]> for DurableLog<E> {
    fn write(&self, events: &[E]) -> Result<(), SinkError> {
        block_on(self.commit(events))
    }
}

/// The batch is committed as a whole or not at all.
impl<E: Event + Serialize + DeserializeOwned> AsyncSink<[E]> for DurableLog<E> {
    fn write(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.commit(events)
    }
}

impl<E: Event> Close for DurableLog<E> {
    /// Takes no more events, has its consumers deliver what there is, and closes the file.
    fn close(&self) -> Closing<'_> {
        self.handle.state.close();
        Closing::new(self.ended())
    }

    /// Stops the delivery; what the sinks have not committed stays in the file for the next run.
    fn abort(&self) {
        self.handle.state.abort();
    }
}

impl<E: Event> Drop for Handle<E> {
    fn drop(&mut self) {
        self.state.close();
    }
}

impl<E: Event> Clone for DurableLog<E> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<E: Event> fmt::Debug for DurableLog<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableLog")
            .field("name", &self.name())
            .field("path", &self.path())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
