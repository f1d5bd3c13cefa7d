//! One lane or many: a queue with parallel delivery is several lanes over one sink, each with a
//! feed, a worker and an account of its own. An event is given its lane when it is written.

use std::{
    error::Error,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use events_core::{
    Close, Closing, ErrorKind, Event, SinkError, Stats,
    engine::{Account, Cursor, clock, feed::Refused, isolate, tell},
};

/// The account of a queue: that of its one lane, or those of many.
pub(crate) enum Lanes<E> {
    One(Arc<Account<E>>),
    Many(Box<Many<E>>),
}

/// Lanes over one sink.
pub(crate) struct Many<E> {
    pub(crate) lanes: Box<[Lane<E>]>,
    pub(crate) route: Route<E>,
    /// The sink, to abort; what closes it is in [`shared_close`](crate::shared_close).
    pub(crate) sink: Arc<dyn Close>,
}

pub(crate) struct Lane<E> {
    pub(crate) account: Arc<Account<E>>,
    pub(crate) cursor: Arc<Cursor>,
    pub(crate) capacity: u64,
}

/// How an event is given its lane.
pub(crate) enum Route<E> {
    /// By this hash: events of one key stay in order.
    Key(Box<dyn Fn(&E) -> u64 + Send + Sync>),
    /// Where there is the most room. Of equals, each is the first in turn.
    Room(AtomicUsize),
}

impl<E> Route<E> {
    pub(crate) fn by_key<K: Hash>(key: impl Fn(&E) -> K + Send + Sync + 'static) -> Self {
        // Always the same seed: there is nothing to guard, and a run can be repeated.
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        Self::Key(Box::new(move |event| hasher.hash_one(key(event))))
    }

    pub(crate) const fn by_room() -> Self {
        Self::Room(AtomicUsize::new(0))
    }
}

impl<E: Event + Clone> Lanes<E> {
    /// The lane for `event`.
    #[inline]
    pub(crate) fn of(&self, event: &E) -> &Arc<Account<E>> {
        match self {
            Self::One(account) => account,
            Self::Many(many) => many.of(event),
        }
    }

    /// Puts an event that its lane has no room for into another, where it does not matter which.
    pub(crate) fn push_elsewhere(&self, mut event: E) -> Result<(), Refused<E>> {
        if let Self::Many(many) = self
            && let Route::Room(_) = many.route
        {
            for lane in &many.lanes {
                match lane.account.feed().push(event) {
                    Err(Refused::Full(back)) => event = back,
                    result => return result,
                }
            }
        }
        Err(Refused::Full(event))
    }

    /// See [`Account::check_wait`]: from inside a sink no lane is waited for.
    pub(crate) fn check_wait(&self) -> Result<(), SinkError> {
        match self {
            Self::One(account) => account.check_wait(),
            Self::Many(many) => many.accounts().try_for_each(Account::check_wait),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::One(account) => account.name(),
            Self::Many(many) => many.lanes[0].account.name(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        match self {
            Self::One(account) => account.stats(),
            Self::Many(many) => many.accounts().map(Account::stats).fold(Stats::default(), sum),
        }
    }

    pub(crate) fn flush(&self) -> Closing<'_> {
        match self {
            Self::One(account) => account.flush(),
            Self::Many(many) => many.all(Account::flush),
        }
    }

    pub(crate) fn begin_close(&self) {
        match self {
            Self::One(account) => account.begin_close(),
            Self::Many(many) => many.accounts().for_each(Account::begin_close),
        }
    }

    pub(crate) fn close(&self) -> Closing<'_> {
        match self {
            Self::One(account) => account.close(),
            Self::Many(many) => many.all(Account::close),
        }
    }

    pub(crate) fn close_within(&self, limit: Duration) -> Closing<'_> {
        match self {
            Self::One(account) => account.close_within(limit),
            Self::Many(many) => many.close_within(limit),
        }
    }

    pub(crate) fn abort(&self) {
        match self {
            Self::One(account) => account.abort(),
            Self::Many(many) => many.abort(),
        }
    }
}

impl<E: Event + Clone> Many<E> {
    fn accounts(&self) -> impl Iterator<Item = &Account<E>> {
        self.lanes.iter().map(|lane| &*lane.account)
    }

    fn of(&self, event: &E) -> &Arc<Account<E>> {
        let lanes = self.lanes.len();
        let index = match &self.route {
            Route::Key(hash) => (hash(event) % lanes as u64) as usize,
            Route::Room(turn) => {
                let first = turn.fetch_add(1, Ordering::Relaxed) % lanes;
                let by_turn = (first..lanes).chain(0..first);
                // The last of those with the most room would be found, so it goes backwards.
                by_turn.rev().max_by_key(|&index| self.lanes[index].room()).unwrap_or(first)
            }
        };
        &self.lanes[index].account
    }

    /// Does the same with every lane, and tells of all as one.
    fn all<'a>(&'a self, end: impl Fn(&'a Account<E>) -> Closing<'a>) -> Closing<'a> {
        let closing = Closing::all(self.accounts().map(end).collect::<Vec<_>>());
        Closing::new(async move { closing.await.map_err(|error| as_one(&error)) })
    }

    /// See [`Account::close_within`].
    fn close_within(&self, limit: Duration) -> Closing<'_> {
        let end = self.all(Account::close);
        let deadline = clock::sleep(limit);
        Closing::new(async move {
            if let Some(outcome) = clock::before(end, deadline).await {
                return outcome;
            }
            let queue = self.lanes[0].account.name();
            tell(|| tracing::warn!(queue, "the close ran into its deadline"));
            self.abort();
            self.all(Account::close).await
        })
    }

    fn abort(&self) {
        if self.accounts().all(Account::has_ended) {
            return;
        }
        // The sink comes last: what it gives up would count as failed in a lane that did not know.
        self.accounts().for_each(Account::abort);
        let name = std::ptr::from_ref(self).addr();
        if let Err(panicked) = isolate::call(name, || self.sink.abort()) {
            let error = &panicked as &dyn Error;
            let queue = self.lanes[0].account.name();
            tell(|| tracing::error!(queue, error, "the sink panicked when aborted"));
        }
    }
}

impl<E> Lane<E> {
    fn room(&self) -> u64 {
        let pending = self.account.feed().head().saturating_sub(self.cursor.reached());
        self.capacity.saturating_sub(pending)
    }
}

fn sum(mut all: Stats, lane: Stats) -> Stats {
    all.accepted += lane.accepted;
    all.delivered += lane.delivered;
    all.failed += lane.failed;
    all.dropped.overflow += lane.dropped.overflow;
    all.dropped.abandoned += lane.dropped.abandoned;
    all.pending += lane.pending;
    all.oldest = all.oldest.max(lane.oldest);
    all
}

/// What several lanes say as if there were one: how many events were given up in all, and
/// everything else once.
fn as_one(error: &SinkError) -> SinkError {
    let mut undelivered = 0;
    let mut others = Vec::new();
    gather(error, &mut undelivered, &mut others);
    if let Some(deadlock) = others.iter().find(|error| error.kind() == ErrorKind::WouldDeadlock) {
        return deadlock.clone();
    }
    let undelivered = (undelivered > 0).then(|| SinkError::undelivered_events(undelivered));
    SinkError::combine(undelivered.into_iter().chain(others)).unwrap_or_else(|| error.clone())
}

fn gather(error: &SinkError, undelivered: &mut u64, others: &mut Vec<SinkError>) {
    let cause = |error: &SinkError| error.source().map(ToString::to_string);
    match error.undelivered() {
        _ if !error.errors().is_empty() => {
            error.errors().iter().for_each(|error| gather(error, undelivered, others));
        }
        Some(count) if error.source().is_none() => *undelivered += count,
        _ if others.iter().any(|o| o.kind() == error.kind() && cause(o) == cause(error)) => {}
        _ => others.push(error.clone()),
    }
}
