use std::{
    future::poll_fn,
    hash::{BuildHasher, BuildHasherDefault, Hash},
    path::Path,
    sync::{Arc, mpsc},
    task::Poll,
    thread,
    time::Duration,
};

use events_core::{
    Breaker, Close, ConfigError, Event, ExponentialBackoff, Progress, RetryStrategy, Schedule,
    SinkError, Verdict,
    engine::{
        AccountConfig, Cursor, Deliver, KeyOf, Linger, Policy, Run, Worker, feed::Feed,
        park::block_on, schedule,
    },
};
use siphasher::sip::SipHasher13;

use crate::{
    commit_queue::{Command, check_thread},
    consumer::Consumer,
    consumer_rows,
    consumer_state::ConsumerState,
    delivery::{DeadLetterWriter, Delivery, Rules, Strategy},
    log_state::LogState,
    open_error::{OpenError, OpenErrorKind},
    start::Start,
    store::Store,
    stored::Stored,
};

/// How many events of a consumer are in memory, unless its batches or deliveries need more.
const WINDOW: usize = 1_024;
/// How many events lie side by side in memory, where batches ask for no more.
const CHUNK: usize = 64;
/// More deliveries at a time than this are a mistake, such as a capacity taken for their number.
const MOST_CONCURRENT: usize = 1 << 16;

/// What a consumer is made of, whoever builds it.
pub(crate) struct ConsumerConfig<E> {
    /// By which the file knows it.
    pub(crate) name: Arc<str>,
    /// What to call it in traces, and its threads.
    pub(crate) label: Arc<str>,
    pub(crate) start: Start,
    pub(crate) linger: Option<Linger>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) key: Option<KeyOf<Stored<E>>>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) circuit: Option<Arc<Breaker>>,
    pub(crate) disable_after: Option<Duration>,
    pub(crate) strategy: Option<Strategy<E>>,
    /// How many events may wait for it.
    pub(crate) capacity: usize,
    /// Whether the log takes no more events once it has ended.
    pub(crate) ends_log: bool,
}

/// A consumer, and what delivers once it is polled: one future for each delivery at a time.
pub(crate) type Built<E> = (Consumer<E>, Vec<Run>);

impl<E: Event> ConsumerConfig<E> {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            label: Arc::clone(&name),
            name,
            start: Start::Earliest,
            linger: None,
            concurrency: None,
            key: None,
            schedule: None,
            circuit: None,
            disable_after: None,
            strategy: None,
            capacity: usize::MAX,
            ends_log: false,
        }
    }

    pub(crate) fn order_by<K: Hash>(&mut self, key: impl Fn(&E) -> K + Send + Sync + 'static) {
        // The same in every run and version: the file remembers which keys wait.
        let hasher = BuildHasherDefault::<SipHasher13>::new();
        self.key = Some(Arc::new(move |event| hasher.hash_one(key(event.event()))));
    }

    /// Starts a thread for each delivery at a time.
    pub(crate) fn start_threads<D: Deliver<Stored<E>>>(
        self,
        log: &Arc<LogState<E>>,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Consumer<E>, OpenError> {
        let label = Arc::clone(&self.label);
        // If a thread cannot be started, what is dropped ends those that were.
        let (consumer, runs) = self.build(log, sink, deliver, false)?;
        let is_alone = runs.len() == 1;
        for (number, run) in runs.into_iter().enumerate() {
            let name = if is_alone { label.to_string() } else { format!("{label}-{number}") };
            let thread = thread::Builder::new().name(name);
            thread.spawn(move || block_on(run)).map_err(|error| no_thread(&log.path, error))?;
        }
        Ok(consumer)
    }

    /// Starts a task for each delivery at a time.
    #[cfg(feature = "tokio")]
    pub(crate) fn start_tasks<D: Deliver<Stored<E>>>(
        self,
        log: &Arc<LogState<E>>,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<Consumer<E>, OpenError> {
        let runtime = current_runtime(&log.path)?;
        let (consumer, runs) = self.build(log, sink, deliver, true)?;
        for run in runs {
            runtime.spawn(run);
        }
        Ok(consumer)
    }

    /// The consumer, and one future that delivers.
    pub(crate) fn start_paired<D: Deliver<Stored<E>>>(
        self,
        log: &Arc<LogState<E>>,
        sink: Arc<dyn Close>,
        deliver: D,
    ) -> Result<(Consumer<E>, impl Future<Output = ()> + Send + use<E, D>), OpenError> {
        let (consumer, runs) = self.build(log, sink, deliver, true)?;
        Ok((consumer, all(runs)))
    }

    fn build<D: Deliver<Stored<E>>>(
        self,
        log: &Arc<LogState<E>>,
        sink: Arc<dyn Close>,
        deliver: D,
        driven_by_future: bool,
    ) -> Result<Built<E>, OpenError> {
        self.check().map_err(|error| OpenError::setting(&log.path, error))?;
        let state = self.attach(log)?;
        let span = self.largest_batch();
        // A chunk is what is kept until all of it is delivered, and it is what a batch is cut from.
        let feed = Arc::new(Feed::with_chunks(if self.linger.is_some() { span } else { CHUNK }));
        let cursor = Arc::new(Cursor::new(0, None));
        let reader = feed.reader(None);
        let (ended, log_of_ended) = (Arc::clone(&state), Arc::clone(log));
        let writer = DeadLetterWriter {
            log: Arc::clone(log),
            consumer: Arc::clone(&state),
            key: self.key.clone().filter(|_| self.schedule.is_some()),
        };
        let parts = AccountConfig {
            sink,
            dead_letter: Some(Arc::new(writer)),
            name: Arc::clone(&self.label),
            owns_feed: true,
            driven_by_future,
            span: span as u64,
            disconnect: false,
            cursor,
            on_end: Some(Box::new(move |result| {
                let aftermath = ended.change(|locked| locked.end(result.clone()));
                log_of_ended.follow_up(&ended, aftermath);
            })),
            on_abort: None,
        };
        let rules = Arc::new(self.rules());
        let delivery =
            Delivery::new(deliver, Arc::clone(log), Arc::clone(&state), Arc::clone(&rules));
        let linger = self.linger();
        let (account, runs) = if let Some(count) = self.concurrency.filter(|count| *count > 1) {
            let policy = Policy {
                most: span,
                linger: (linger.events, linger.limit),
                blocks: !driven_by_future,
                circuit: None,
                disable_after: None,
            };
            let ordered = events_core::engine::Rules { key: self.key, schedule: None };
            let (account, deliverers) = schedule(reader, &delivery, count, policy, &ordered, parts);
            (account, deliverers.into_iter().map(|one| Box::pin(one.run()) as Run).collect())
        } else {
            let (account, worker) = Worker::new(reader, delivery, linger, parts);
            (account, vec![Box::pin(worker.run()) as Run])
        };
        *state.account.lock() = Some(Arc::clone(&account));
        log.loads.add(&state);
        Ok((Consumer::new(Arc::clone(log), state, account), runs))
    }

    /// Finds the consumer in the file, or creates it.
    fn attach(&self, log: &Arc<LogState<E>>) -> Result<Arc<ConsumerState<E>>, OpenError> {
        let io = |error: SinkError| OpenError::new(OpenErrorKind::Io, &log.path).with_source(error);
        check_thread().map_err(io)?;
        let (tell, told) = mpsc::sync_channel(1);
        let (name, start, is_ordered) = (Arc::clone(&self.name), self.start, self.is_ordered());
        let (window, ends_log) = (self.window(), self.ends_log);
        let here = Arc::clone(log);
        log.commits.command(Command::new(move |store| {
            let attached = match store {
                Ok(store) => attach(&here, store, name, (start, is_ordered, window, ends_log)),
                Err(closed) => {
                    let kind = OpenErrorKind::Closed;
                    Err(OpenError::new(kind, &here.path).with_source(closed))
                }
            };
            let _whoever_asked = tell.send(attached);
        }));
        told.recv().unwrap_or_else(|_| Err(io(SinkError::closed())))
    }

    fn rules(&self) -> Rules<E> {
        let strategy: Strategy<E> = match (&self.strategy, &self.circuit) {
            (Some(strategy), _) => Arc::clone(strategy),
            (None, Some(circuit)) => Arc::clone(circuit) as _,
            (None, None) if self.schedule.is_some() => Arc::new(Always),
            (None, None) => Arc::new(ExponentialBackoff::default()),
        };
        Rules {
            strategy,
            schedule: self.schedule.clone(),
            circuit: self.circuit.clone(),
            key: self.key.clone(),
            disable_after: self.disable_after,
        }
    }

    fn is_ordered(&self) -> bool {
        self.key.is_some()
    }

    /// How many events the sink is given at once, at most.
    fn largest_batch(&self) -> usize {
        self.linger.map_or(1, |linger| linger.events.min(self.capacity))
    }

    /// How many events are in memory, at most.
    fn window(&self) -> usize {
        let in_hand = self.largest_batch().saturating_mul(self.concurrency.unwrap_or(1));
        // SQLite counts no further.
        WINDOW.max(in_hand.saturating_mul(2)).min(i64::MAX as usize)
    }

    fn linger(&self) -> Linger {
        self.linger.map_or(Linger::NONE, |linger| Linger {
            // One that is full has no more to wait for.
            events: if linger.limit.is_zero() { 1 } else { self.largest_batch() },
            limit: linger.limit,
        })
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, problem: &str| Err(ConfigError::new(setting, problem));
        if self.name.is_empty() || self.name.contains('\0') || self.label.contains('\0') {
            return refuse("name", "must be at least a letter, without a NUL byte");
        }
        if let Some(linger) = self.linger {
            linger.check()?;
        }
        match self.concurrency {
            Some(0) => return refuse("concurrency", "must be at least 1, was 0"),
            Some(count) if count > MOST_CONCURRENT => {
                let problem = format!("must be at most {MOST_CONCURRENT}, was {count}");
                return refuse("concurrency", &problem);
            }
            _ => {}
        }
        let needs = "needs `redeliver`, without which an event waits in line";
        match &self.schedule {
            Some(schedule) => schedule.check()?,
            None if self.circuit.is_some() => return refuse("circuit", needs),
            None => {}
        }
        if self.schedule.is_some() && self.strategy.is_some() {
            let problem = "waits in line, and `redeliver` does not: choose one";
            return refuse("retry", problem);
        }
        if self.disable_after.is_some_and(|limit| limit.is_zero()) {
            return refuse("disable_after", "must be more than zero");
        }
        Ok(())
    }
}

/// Finds or creates the consumer of this name, which runs from now on; the settings are where it
/// starts, whether it is ordered, how many events are in memory, and whether it ends the log.
fn attach<E>(
    log: &LogState<E>,
    store: &mut Store,
    name: Arc<str>,
    (start, is_ordered, window, ends_log): (Start, bool, usize, bool),
) -> Result<Arc<ConsumerState<E>>, OpenError> {
    if log.commits.lock().consumers().iter().any(|consumer| consumer.name == name) {
        let problem = format!("the consumer {name:?} runs already");
        return Err(OpenError::new(OpenErrorKind::InUse, &log.path).with_source(problem));
    }
    let found = consumer_rows::attach(store, &name, start, is_ordered)
        .map_err(|error| OpenError::sqlite(&log.path, error))?;
    let consumer = Arc::new(ConsumerState::new(name, found, window, ends_log));
    log.commits.attach(Arc::clone(&consumer));
    Ok(consumer)
}

/// Every attempt goes; what is tried again is a matter of the schedule.
struct Always;

impl<E: ?Sized> RetryStrategy<E> for Always {
    fn proceed(&self, _event: &E, _progress: &Progress) -> Verdict {
        Verdict::Go
    }
}

/// One attempt, and no other.
pub(crate) struct Once;

impl<E: ?Sized> RetryStrategy<E> for Once {
    fn proceed(&self, _event: &E, progress: &Progress) -> Verdict {
        if progress.attempts() == 0 { Verdict::Go } else { Verdict::GiveUp }
    }
}

#[cfg(feature = "tokio")]
pub(crate) fn current_runtime(path: &Path) -> Result<tokio::runtime::Handle, OpenError> {
    tokio::runtime::Handle::try_current().map_err(|_| {
        let error = ConfigError::new("spawn_tokio", "must be called inside a tokio runtime");
        OpenError::setting(path, error)
    })
}

pub(crate) fn no_thread(path: &Path, error: std::io::Error) -> OpenError {
    OpenError::new(OpenErrorKind::Io, path).with_source(error)
}

/// Drives all of them in one future: one that waits does not hold up the others.
async fn all(mut runs: Vec<Run>) {
    poll_fn(|cx| {
        runs.retain_mut(|run| run.as_mut().poll(cx).is_pending());
        if runs.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
