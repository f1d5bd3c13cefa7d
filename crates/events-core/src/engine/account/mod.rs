//! The account of one sink's events: see [`Account`].

mod ending;
#[cfg(all(test, loom))]
mod models;
mod settling;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use crate::{
    dead_letter::DeadLetter,
    engine::{
        cursor::Cursor,
        feed::{Chunk, Feed, Reader},
        scheduler::backlog::{Backlog, Figures, Mode},
        waker_set::{WakeList, WakerSet},
        worker_handle::WorkerHandle,
    },
    error::SinkError,
    event::Event,
    runtime::{clock, sync::Mutex, trace::TraceLimit},
    sink::{Close, Sink},
    stats::{Dropped, Stats},
};

/// One place in a feed with the sink that is delivered to from there: the account of its events,
/// and their end.
///
/// Shared by the [`Worker`](crate::engine::Worker) that delivers and the handles that flush, close and
/// look. Every event is settled exactly once, by the worker or by the closer that takes over from
/// a worker that is stuck; who settles it is decided under one lock, and only a success, the common
/// case, does without.
pub struct Account<E> {
    feed: Arc<Feed<E>>,
    parts: AccountConfig<E>,
    /// Where several deliver at a time, who knows which events are not settled: the cursor only
    /// counts them then.
    backlog: Option<Arc<Backlog<E>>>,
    /// The sequence number of the first event of its account.
    start: u64,
    state: Mutex<State<E>>,
    /// Absent while there was nothing to tell, as for most.
    traces: OnceLock<Box<Traces>>,
}

/// What is told of an account, rarely, though each may happen with every event.
#[derive(Default)]
struct Traces {
    newest: TraceLimit,
    oldest: TraceLimit,
    failed: TraceLimit,
    refused: TraceLimit,
}

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct State<E> {
    failed: u64,
    /// Events skipped by the worker because it lagged.
    skipped: u64,
    /// Events accepted only to be dropped at once, never in the feed.
    unwritten: u64,
    abandoned: u64,
    /// What the close will tell: events that failed and no dead letter has taken, and those that
    /// were given up, wherever they are.
    undelivered: u64,
    /// Why the first was not delivered of those that no dead letter has taken.
    first_lost: Option<SinkError>,
    /// The worker that delivers to the sink now.
    worker: Arc<WorkerHandle<E>>,
    /// The lowest cursor that a flush waits for.
    flush_at: u64,
    /// How many of those who settle events are still handing them to the dead letter.
    writing_dead_letters: u64,
    /// How the sink closed, if it did so before all was handed over.
    finishing: Option<Result<(), SinkError>>,
    aborted: bool,
    /// Whether an operator has paused the worker; with a backlog, that knows.
    paused: bool,
    /// Why nothing more is delivered: the destination is closed, or lagged too far.
    stopped_by: Option<SinkError>,
    /// Whether that was its lag: then what is left was given up, and not refused.
    disconnected: bool,
    /// How many events are settled, once whoever ends the account has settled the rest.
    settled_at_end: Option<u64>,
    /// Whether the result is being told.
    finished: bool,
    outcome: Option<Result<(), SinkError>>,
    /// Those who flush, and those who wait for the end.
    waiting: WakerSet,
}

/// What a worker is to do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Go on with the next.
    Go,
    /// Deliver nothing until the account is [resumed](Account::resumed).
    Pause,
    /// Deliver nothing more.
    Stop,
}

/// What a new [`Account`] is made of.
pub struct AccountConfig<E> {
    /// The sink, to close and abort; the worker has it for writing.
    pub sink: Arc<dyn Close>,
    /// Who gets what will not be delivered.
    pub dead_letter: Option<Arc<dyn Sink<DeadLetter<E>>>>,
    /// What to call it in traces.
    pub name: Arc<str>,
    /// Whether the feed closes when the sink is gone or a close is asked for: a queue's does, a
    /// broadcaster's does not.
    pub owns_feed: bool,
    /// Whether a future drives the worker, which a blocked runtime would starve.
    pub driven_by_future: bool,
    /// How many events the sink is given at once, at most.
    pub span: u64,
    /// Whether a reader that lags further than its bound ends, rather than skip.
    pub disconnect: bool,
    /// Where the worker stands: the cursor that bounds the feed, if it is bounded.
    pub cursor: Arc<Cursor>,
    /// Told the result when the account has ended.
    pub on_end: Option<OnEnd>,
    /// Told when what is left is given up: from then on whoever waits may have to take over from a
    /// worker that is stuck.
    pub on_abort: Option<OnAbort>,
}

/// Called when the events of an account are given up.
pub type OnAbort = Box<dyn Fn() + Send + Sync>;

/// Called once, when an account has ended, with its result.
pub type OnEnd = Box<dyn Fn(&Result<(), SinkError>) + Send + Sync>;

impl<E> Account<E> {
    /// The account for `reader`, from where it stands, with a worker at `worker`.
    pub(crate) fn new(
        reader: &Reader<E>,
        parts: AccountConfig<E>,
        worker: Arc<WorkerHandle<E>>,
    ) -> Self {
        Self {
            feed: Arc::clone(reader.feed()),
            parts,
            backlog: None,
            start: reader.at(),
            state: Mutex::new(State {
                failed: 0,
                skipped: 0,
                unwritten: 0,
                abandoned: 0,
                undelivered: 0,
                first_lost: None,
                worker,
                flush_at: u64::MAX,
                writing_dead_letters: 0,
                finishing: None,
                aborted: false,
                paused: false,
                stopped_by: None,
                disconnected: false,
                settled_at_end: None,
                finished: false,
                outcome: None,
                waiting: WakerSet::new(),
            }),
            traces: OnceLock::new(),
        }
    }

    /// The account of events that several deliver at a time.
    pub(crate) fn with_backlog(mut self, backlog: Arc<Backlog<E>>) -> Self {
        self.backlog = Some(backlog);
        self
    }

    /// The feed it reads.
    pub const fn feed(&self) -> &Arc<Feed<E>> {
        &self.feed
    }

    /// What to call it in traces.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// A snapshot of the account.
    pub fn stats(&self) -> Stats {
        // Declared before the lock, so that a chunk that nobody else holds is dropped after it.
        let current;
        let cursor = &*self.parts.cursor;
        let state = self.state.lock();
        let settled = state.settled_at_end.unwrap_or_else(|| cursor.reached());
        // Read after what is settled, so that it cannot lie before.
        let head = self.feed.head();
        let end = head.min(cursor.stop()).max(settled);
        let mut pending = end - settled;
        let mut overflow = state.skipped;
        current = state.worker.current();
        let current = current.as_ref().filter(|chunk| chunk.end() > settled);
        let figures = self.figures(&state, settled, current);
        // What lags is skipped as soon as somebody looks: it is dropped already.
        let at = settled.saturating_add(figures.in_flight).min(end);
        let lag = cursor.lag_at(at, head).min(pending);
        pending -= lag;
        overflow += lag;
        let since = |time| clock::now().saturating_duration_since(time);
        let until = |time: Instant| time.saturating_duration_since(clock::now());
        Stats {
            accepted: end - self.start + state.unwritten,
            delivered: settled - self.start - state.failed - state.skipped - state.abandoned,
            failed: state.failed,
            dropped: Dropped { overflow: overflow + state.unwritten, abandoned: state.abandoned },
            pending,
            in_flight: figures.in_flight.min(pending),
            parked: figures.parked.min(pending),
            next_due: figures.next_due.map(until),
            attempts: figures.attempts,
            oldest: figures.oldest.filter(|_| pending > 0).map(since),
        }
    }

    /// What the pending events are doing.
    fn figures(&self, state: &State<E>, settled: u64, current: Option<&Arc<Chunk<E>>>) -> Figures {
        if let Some(backlog) = &self.backlog {
            return backlog.figures();
        }
        let in_hand = current.is_some_and(|chunk| chunk.first() <= settled);
        let in_flight = if in_hand { self.parts.span } else { 0 };
        Figures {
            in_flight,
            parked: 0,
            attempts: settled - self.start - state.skipped - state.abandoned,
            next_due: None,
            oldest: current.map(|chunk| chunk.since()).or_else(|| self.feed.since(settled)),
        }
    }

    /// How many events were not delivered and are with no dead letter, or were given up: what its result
    /// tells of, before any other error.
    pub fn undelivered(&self) -> u64 {
        self.state.lock().undelivered
    }

    /// Delivers again after it was disabled.
    pub fn enable(&self) {
        if let Some(backlog) = &self.backlog {
            backlog.leave_mode(Mode::Disabled);
        }
    }

    /// Whether it delivers.
    pub fn mode(&self) -> Mode {
        match &self.backlog {
            Some(backlog) => backlog.mode(),
            None if self.state.lock().paused => Mode::Paused,
            None => Mode::Running,
        }
    }

    fn traces(&self) -> &Traces {
        self.traces.get_or_init(Box::default)
    }

    /// Whether nobody asked for its end: its destination was closed, it lagged too far behind, or its
    /// worker was dropped.
    pub fn was_stopped(&self) -> bool {
        self.state.lock().stopped_by.is_some()
    }

    /// Whether the account has ended.
    pub fn has_ended(&self) -> bool {
        self.state.lock().outcome.is_some()
    }
}

impl<E: Event> Account<E> {
    /// Counts an event as accepted and dropped that was never put into the feed.
    pub fn drop_unwritten(&self) {
        self.state.lock().unwritten += 1;
        // By the writer, since the worker of a queue that is full may be stuck in its sink.
        self.traces().newest.tell(1, |count| {
            tracing::warn!(
                queue = self.name(),
                count,
                "dropped the newest events: the queue is full"
            );
        });
    }
}

impl<E> State<E> {
    fn flow(&self) -> Flow {
        if self.aborted || self.stopped_by.is_some() || self.settled_at_end.is_some() {
            Flow::Stop
        } else if self.paused {
            Flow::Pause
        } else {
            Flow::Go
        }
    }

    /// Those who wait, if a flush may have ended; those whose wait has not come back.
    fn flushed(&mut self, settled: u64) -> WakeList {
        if settled < self.flush_at {
            return WakeList::none();
        }
        self.flush_at = u64::MAX;
        self.waiting.take()
    }
}

impl<E> fmt::Debug for Account<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.parts.name)
            .field("reached", &self.parts.cursor.reached())
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for AccountConfig<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountConfig").field("name", &self.name).finish_non_exhaustive()
    }
}
