//! From the feed to the sink, and back to where the consumer stands.

use std::{fmt, sync::Arc, time::Duration};

use events_core::{
    Breaker, Close, DeadLetter, ErrorKind, Event, Failure, Progress, RetryStrategy, Schedule, Sink,
    SinkError, Verdict,
    engine::{Deliver, KeyOf, tell},
};

use crate::{
    attempt::{Answer, Attempt},
    consumer_state::{Began, ConsumerState, Failed, Locked},
    log_state::LogState,
    stored::{Stored, now},
};

/// A strategy that says `Wait` without a time must not spin.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

/// Whether and when a delivery is tried, and tried again in line.
pub(crate) type Strategy<E> = Arc<dyn RetryStrategy<[Stored<E>]>>;

/// How a consumer's events are delivered.
pub(crate) struct Rules<E> {
    pub(crate) strategy: Strategy<E>,
    /// When an event that failed is delivered again, while others go on.
    pub(crate) schedule: Option<Schedule>,
    /// The breaker that the strategy is, if it is one that guards the destination.
    pub(crate) circuit: Option<Arc<Breaker>>,
    pub(crate) key: Option<KeyOf<Stored<E>>>,
    pub(crate) disable_after: Option<Duration>,
}

/// Offers events to the sink until it takes them, and notes what has become of them.
///
/// What the sink may take later is tried again here, in front of all that follows, so nothing
/// overtakes it; or it is parked, if there is a schedule, and the others go on.
pub(crate) struct Delivery<E, D> {
    deliver: D,
    log: Arc<LogState<E>>,
    consumer: Arc<ConsumerState<E>>,
    rules: Arc<Rules<E>>,
}

/// Events that are delivered together, and the place of each in the run.
struct Portion<E> {
    events: Vec<Stored<E>>,
    places: Vec<usize>,
}

/// The events that failed for good, by their places, each with its error.
type Failures = Vec<(usize, SinkError)>;

impl<E, D> Delivery<E, D> {
    pub(crate) const fn new(
        deliver: D,
        log: Arc<LogState<E>>,
        consumer: Arc<ConsumerState<E>>,
        rules: Arc<Rules<E>>,
    ) -> Self {
        Self { deliver, log, consumer, rules }
    }
}

impl<E: Event, D: Deliver<Stored<E>>> Deliver<Stored<E>> for Delivery<E, D> {
    fn span(&self, available: usize) -> usize {
        self.deliver.span(available)
    }

    async fn deliver(&self, run: &[Stored<E>]) -> Result<(), SinkError> {
        let keys = self.keys(run);
        let places = match self.consumer.begin(run, &keys).await {
            Began::All => (0..run.len()).collect(),
            Began::Some(places) => places,
            Began::Stop => {
                return Err(SinkError::new(ErrorKind::Undelivered, "given up by an abort"));
            }
        };
        let events = places.iter().map(|place| run[*place].clone()).collect();
        let mut failures = Failures::new();
        // Those that were set aside are for the disk.
        self.note(|_| {});
        self.offer(Portion { events, places }, &keys, &mut failures).await;
        // The worker is told of them, and then has each buried or kept.
        SinkError::of_batch(failures).map_or(Ok(()), Err)
    }
}

impl<E: Event, D: Deliver<Stored<E>>> Delivery<E, D> {
    /// The hash of each event's key, where that matters beyond the scheduler.
    fn keys(&self, run: &[Stored<E>]) -> Vec<Option<u64>> {
        match &self.rules.key {
            Some(key) if self.rules.schedule.is_some() => {
                run.iter().map(|event| Some(key(event))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Offers these events to the sink, again and again as the strategy says.
    async fn offer(&self, mut portion: Portion<E>, keys: &[Option<u64>], failures: &mut Failures) {
        let mut progress = Progress::new();
        let last_error = |progress: &Progress| {
            let error = progress.last_error().cloned();
            error.unwrap_or_else(|| SinkError::unavailable("never tried"))
        };
        while !portion.events.is_empty() {
            match self.rules.strategy.proceed(&portion.events, &progress) {
                verdict @ (Verdict::Go | Verdict::Probe) => {
                    progress.begin(verdict);
                    let strategy = &*self.rules.strategy;
                    let attempt = Attempt::new(strategy, &portion.events, &mut progress);
                    let answer = attempt.answer(self.deliver.deliver(&portion.events).await);
                    portion = self.settle(portion, &answer, keys, failures);
                }
                Verdict::Wait(limit) => {
                    if self.consumer.pause(limit.max(SHORTEST_WAIT)).await {
                        let why = SinkError::new(ErrorKind::Undelivered, last_error(&progress));
                        return portion.fail(&why, failures);
                    }
                    progress.refresh();
                }
                Verdict::GiveUp => return portion.fail(&last_error(&progress), failures),
            }
        }
    }

    /// Notes what the sink has committed and what it has refused; what is to be tried again now.
    fn settle(
        &self,
        portion: Portion<E>,
        answer: &Answer,
        keys: &[Option<u64>],
        failures: &mut Failures,
    ) -> Portion<E> {
        let key_of = |place: usize| keys.get(place).copied().flatten();
        let (mut delivered, mut failed) = (Vec::new(), Vec::new());
        for (at, (event, place)) in portion.events.into_iter().zip(portion.places).enumerate() {
            match answer.error_of(at) {
                None => delivered.push((event.seq, key_of(place))),
                Some(error) => failed.push((event, place, error.clone())),
            }
        }
        let all_failed = delivered.is_empty();
        self.note(|locked| {
            for (seq, key) in delivered {
                locked.deliver(seq, key);
            }
        });
        let (retryable, refused): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|(_, _, error)| error.kind().is_retryable());
        failures.extend(refused.into_iter().map(|(_, place, error)| (place, error)));
        let mut rest = Portion { events: Vec::new(), places: Vec::new() };
        if retryable.is_empty() {
            return rest;
        }
        if all_failed {
            self.judge();
        }
        let keeps_all = self.consumer.lock().keeps_all();
        for (event, place, error) in retryable {
            if keeps_all {
                failures.push((place, error));
            } else if self.rules.schedule.is_none() {
                rest.events.push(event);
                rest.places.push(place);
            } else if !self.park(&event, key_of(place), &error) {
                failures.push((place, error));
            }
        }
        rest
    }

    /// Disables a consumer for which nothing has succeeded for too long.
    fn judge(&self) {
        let limit = self.rules.disable_after;
        let mut disabled = None;
        self.note(|locked| disabled = locked.fail_all(limit));
        if let Some(failing) = disabled {
            let consumer = &*self.consumer.name;
            let what = "disabled: every delivery has failed for too long";
            tell(|| tracing::error!(consumer, ?failing, "{what}"));
        }
    }

    /// Has `event` delivered again later, if the schedule says so.
    fn park(&self, event: &Stored<E>, key: Option<u64>, error: &SinkError) -> bool {
        let Some(schedule) = &self.rules.schedule else { return false };
        // While the destination is down, that is not the event's failure.
        let counts = self.rules.circuit.as_ref().is_none_or(|circuit| !circuit.is_open());
        let age = Duration::from_millis(now().saturating_sub(event.written));
        let attempts = event.attempts.saturating_add(1);
        let delay = if counts {
            schedule.delay(&Failure::new(attempts, age, error))
        } else {
            Some(Duration::ZERO)
        };
        let Some(delay) = delay else { return false };
        let failed = Failed { seq: event.seq, attempts: event.attempts, key, error };
        self.note(|locked| locked.park(&failed, delay, counts));
        true
    }

    fn note(&self, note: impl FnOnce(&mut Locked)) {
        if let Some(aftermath) = self.consumer.note(note) {
            self.log.follow_up(&self.consumer, aftermath);
        }
    }
}

impl<E> Portion<E> {
    fn fail(self, error: &SinkError, failures: &mut Failures) {
        failures.extend(self.places.into_iter().map(|place| (place, error.clone())));
    }
}

impl<E, D: Clone> Clone for Delivery<E, D> {
    fn clone(&self) -> Self {
        let (log, consumer) = (Arc::clone(&self.log), Arc::clone(&self.consumer));
        Self::new(self.deliver.clone(), log, consumer, Arc::clone(&self.rules))
    }
}

impl<E, D: fmt::Debug> fmt::Debug for Delivery<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("deliver", &self.deliver).finish_non_exhaustive()
    }
}

/// Makes an event a dead letter that the sink refused, unless it stays for the next run.
pub(crate) struct DeadLetterWriter<E> {
    pub(crate) log: Arc<LogState<E>>,
    pub(crate) consumer: Arc<ConsumerState<E>>,
    pub(crate) key: Option<KeyOf<Stored<E>>>,
}

impl<E: Event> Close for DeadLetterWriter<E> {}

impl<E: Event> Sink<DeadLetter<Stored<E>>> for DeadLetterWriter<E> {
    fn write(&self, letter: &DeadLetter<Stored<E>>) -> Result<(), SinkError> {
        let event = &letter.event;
        let key = self.key.as_ref().map(|key| key(event));
        let failed = Failed { seq: event.seq, attempts: event.attempts, key, error: &letter.error };
        let noted = self.consumer.note(|locked| {
            if locked.keeps(letter.error.kind()) {
                locked.keep(event.seq);
            } else {
                locked.bury(&failed);
            }
        });
        if let Some(aftermath) = noted {
            self.log.follow_up(&self.consumer, aftermath);
        }
        Ok(())
    }
}
