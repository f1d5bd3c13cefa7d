//! From the row in the feed to the sink, and back to the ledger.

use std::{fmt, sync::Arc, time::Duration};

use events_core::{
    Close, DeadLetter, ErrorKind, Event, Progress, RetryStrategy, Sink, SinkError, Verdict,
    engine::Deliver,
};
use serde::de::DeserializeOwned;

use crate::{
    attempt::{Answer, Attempt},
    desk::Desk,
    row::{Row, describe},
    stored::Stored,
};

/// A strategy that says `Wait` without a time must not spin.
const SHORTEST_WAIT: Duration = Duration::from_micros(1);

/// Whether and when a delivery that has failed is tried again.
pub(crate) type Strategy<E> = Arc<dyn RetryStrategy<[Stored<E>]>>;

/// Decodes rows for the sink, offers them until it takes them, and notes what it has committed.
///
/// What the sink may take later is tried again here, in front of all that follows, so nothing
/// overtakes it. An event that does not decode is a dead letter, and the others of its batch go on.
pub(crate) struct Delivery<E, D> {
    deliver: D,
    desk: Arc<Desk>,
    strategy: Strategy<E>,
}

/// Events that are delivered together, and the place of each among the rows.
struct Portion<E> {
    events: Vec<Stored<E>>,
    places: Vec<usize>,
}

/// The rows that failed for good, by their places, each with its error.
type Failed = Vec<(usize, SinkError)>;

impl<E, D> Delivery<E, D> {
    pub(crate) const fn new(deliver: D, desk: Arc<Desk>, strategy: Strategy<E>) -> Self {
        Self { deliver, desk, strategy }
    }
}

impl<E: Event + DeserializeOwned, D: Deliver<Stored<E>>> Deliver<Row> for Delivery<E, D> {
    fn span(&self, available: usize) -> usize {
        self.deliver.span(available)
    }

    async fn deliver(&self, rows: &[Row]) -> Result<(), SinkError> {
        let Some(skip) = self.desk.hand_out(rows) else {
            return Err(SinkError::new(ErrorKind::Undelivered, "given up by an abort"));
        };
        let portion = self.decode(rows, skip);
        let mut failed = Failed::new();
        if !portion.events.is_empty() {
            self.offer(rows, portion, &mut failed).await;
        }
        // The worker is told of them, and then has each buried or kept.
        SinkError::of_batch(failed).map_or(Ok(()), Err)
    }
}

impl<E: Event + DeserializeOwned, D: Deliver<Stored<E>>> Delivery<E, D> {
    /// The events of these rows, without the first `skip`. What does not decode is a dead letter.
    fn decode(&self, rows: &[Row], skip: usize) -> Portion<E> {
        let count = rows.len() - skip;
        let mut portion =
            Portion { events: Vec::with_capacity(count), places: Vec::with_capacity(count) };
        let mut broken = Vec::new();
        for (place, row) in rows.iter().enumerate().skip(skip) {
            match row.decode::<E>() {
                Ok(event) => {
                    portion.events.push(event);
                    portion.places.push(place);
                }
                Err(error) => broken.push((row.seq, error)),
            }
        }
        if !broken.is_empty() {
            for (seq, error) in &broken {
                tracing::warn!(seq, error, "an event became a dead letter: it does not decode");
            }
            self.desk.settle(|ledger| {
                for (seq, error) in broken {
                    ledger.bury(seq, error);
                }
            });
        }
        portion
    }

    /// Offers these events to the sink, again and again as the strategy says.
    async fn offer(&self, rows: &[Row], mut portion: Portion<E>, failed: &mut Failed) {
        let mut progress = Progress::new();
        loop {
            match self.strategy.proceed(&portion.events, &progress) {
                verdict @ (Verdict::Go | Verdict::Probe) => {
                    progress.begin(verdict);
                    let attempt = Attempt::new(&*self.strategy, &portion.events, &mut progress);
                    let answer = attempt.answer(self.deliver.deliver(&portion.events).await);
                    let Some(rest) = self.settle(rows, portion, answer, failed) else { return };
                    portion = rest;
                }
                Verdict::Wait(limit) => {
                    if self.desk.pause(limit.max(SHORTEST_WAIT)).await {
                        let why = progress.last_error().cloned();
                        let why = why.unwrap_or_else(|| SinkError::unavailable("never tried"));
                        return portion.fail(&SinkError::new(ErrorKind::Undelivered, why), failed);
                    }
                    progress.refresh();
                }
                Verdict::GiveUp => {
                    let why = progress.last_error().cloned();
                    let why = why.unwrap_or_else(|| SinkError::unavailable("never tried"));
                    return portion.fail(&why, failed);
                }
            }
        }
    }

    /// Notes what the sink has committed and what it has refused; what is to be tried again.
    fn settle(
        &self,
        rows: &[Row],
        portion: Portion<E>,
        answer: Answer,
        failed: &mut Failed,
    ) -> Option<Portion<E>> {
        let failures = match answer {
            Answer::All(error) if error.kind().is_retryable() && !self.desk.is_aborted() => {
                return Some(portion);
            }
            Answer::All(error) => {
                portion.fail(&error, failed);
                return None;
            }
            Answer::Some(failures) => failures,
        };
        let aborted = !failures.is_empty() && self.desk.is_aborted();
        let mut failures = failures.into_iter().peekable();
        let mut delivered = Vec::with_capacity(portion.places.len());
        let mut rest = Portion { events: Vec::new(), places: Vec::new() };
        for (at, (event, place)) in portion.events.into_iter().zip(portion.places).enumerate() {
            match failures.next_if(|(failed, _)| *failed == at) {
                None => delivered.push(rows[place].seq),
                Some((_, error)) if error.kind().is_retryable() && !aborted => {
                    rest.events.push(event);
                    rest.places.push(place);
                }
                Some((_, error)) => failed.push((place, error)),
            }
        }
        self.desk.settle(|ledger| {
            for seq in delivered {
                ledger.deliver(seq);
            }
        });
        (!rest.events.is_empty()).then_some(rest)
    }
}

impl<E> Portion<E> {
    fn fail(self, error: &SinkError, failed: &mut Failed) {
        failed.extend(self.places.into_iter().map(|place| (place, error.clone())));
    }
}

impl<E, D: Clone> Clone for Delivery<E, D> {
    fn clone(&self) -> Self {
        Self::new(self.deliver.clone(), Arc::clone(&self.desk), Arc::clone(&self.strategy))
    }
}

impl<E, D: fmt::Debug> fmt::Debug for Delivery<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("deliver", &self.deliver).finish_non_exhaustive()
    }
}

/// Has an event that the sink refused moved to the dead letters, unless it stays for the next run.
#[derive(Debug)]
pub(crate) struct Burial(pub(crate) Arc<Desk>);

impl Close for Burial {}

impl Sink<DeadLetter<Row>> for Burial {
    fn write(&self, letter: &DeadLetter<Row>) -> Result<(), SinkError> {
        if !self.0.keeps(letter.error.kind()) {
            self.0.settle(|ledger| ledger.bury(letter.event.seq, describe(&letter.error)));
        }
        Ok(())
    }
}
