//! From the row in the feed to the sink, and back to the ledger.

use std::{fmt, marker::PhantomData, sync::Arc};

use events_core::{Close, DeadLetter, ErrorKind, Event, Sink, SinkError, engine::Deliver};
use serde::de::DeserializeOwned;

use crate::{
    desk::Desk,
    row::{Row, describe},
    stored::Stored,
};

/// Decodes rows for the sink, and notes what the sink has committed.
///
/// An event that does not decode is a dead letter, and the others of its batch go on.
pub(crate) struct Delivery<E, D> {
    deliver: D,
    desk: Arc<Desk>,
    event: PhantomData<fn() -> E>,
}

impl<E, D> Delivery<E, D> {
    pub(crate) const fn new(deliver: D, desk: Arc<Desk>) -> Self {
        Self { deliver, desk, event: PhantomData }
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
        let rows = &rows[skip..];
        let mut events = Vec::with_capacity(rows.len());
        let mut broken = Vec::new();
        for row in rows {
            match row.decode::<E>() {
                Ok(event) => events.push(event),
                Err(error) => broken.push((row.seq, error)),
            }
        }
        let mut failures = Vec::new();
        if !events.is_empty()
            && let Err(error) = self.deliver.deliver(&events).await
        {
            failures = named(error, events.len())?;
        }
        for (seq, error) in &broken {
            tracing::warn!(seq, error, "an event became a dead letter: it does not decode");
        }
        let mut broken = broken.into_iter().peekable();
        let mut named = failures.into_iter().peekable();
        let (mut settled, mut failed) = (Vec::with_capacity(rows.len()), Vec::new());
        let mut event = 0;
        for (at, row) in rows.iter().enumerate() {
            if let Some((_, error)) = broken.next_if(|(seq, _)| *seq == row.seq) {
                settled.push((row.seq, Some(error)));
                continue;
            }
            match named.next_if(|(failed, _)| *failed == event) {
                None => settled.push((row.seq, None)),
                // The worker is told of it, and then has it buried.
                Some((_, error)) => failed.push((skip + at, error)),
            }
            event += 1;
        }
        self.desk.settle(|ledger| {
            for (seq, broken) in settled {
                match broken {
                    Some(error) => ledger.bury(seq, error),
                    None => ledger.deliver(seq),
                }
            }
        });
        SinkError::of_batch(failed).map_or(Ok(()), Err)
    }
}

/// The failures that the error of a batch of so many events names, as the queue's own.
///
/// # Errors
/// The error itself, if it names none and so is that of all.
fn named(error: SinkError, events: usize) -> Result<Vec<(usize, SinkError)>, SinkError> {
    match error.failures() {
        [] => Err(own(error)),
        [.., (last, _)] if *last >= events => Err(SinkError::new(own(error.clone()).kind(), error)),
        failures => Ok(failures.iter().map(|(at, error)| (*at, own(error.clone()))).collect()),
    }
}

/// `Undelivered` is what the worker says of an event that nobody has tried, so a sink that says it
/// of one event is taken to be unavailable.
fn own(error: SinkError) -> SinkError {
    if error.kind() == ErrorKind::Undelivered { SinkError::unavailable(error) } else { error }
}

impl<E, D: Clone> Clone for Delivery<E, D> {
    fn clone(&self) -> Self {
        Self::new(self.deliver.clone(), Arc::clone(&self.desk))
    }
}

impl<E, D: fmt::Debug> fmt::Debug for Delivery<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("deliver", &self.deliver).finish_non_exhaustive()
    }
}

/// Has an event that the sink refused moved to the dead letters, unless it stays for the next run.
pub(crate) struct Burial<E> {
    desk: Arc<Desk>,
    event: PhantomData<fn() -> E>,
}

impl<E> Burial<E> {
    pub(crate) const fn new(desk: Arc<Desk>) -> Self {
        Self { desk, event: PhantomData }
    }
}

impl<E> Close for Burial<E> {}

impl<E: Event + DeserializeOwned> Sink<DeadLetter<Row>> for Burial<E> {
    fn write(&self, letter: &DeadLetter<Row>) -> Result<(), SinkError> {
        if !self.desk.keeps(letter.error.kind()) {
            let row = &letter.event;
            // One that does not decode has no part in the error of its batch.
            let error = row.decode::<E>().err().unwrap_or_else(|| describe(&letter.error));
            self.desk.settle(|ledger| ledger.bury(row.seq, error));
        }
        Ok(())
    }
}
