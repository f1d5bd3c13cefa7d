//! One attempt at a delivery, and what the sink says to it.

use events_core::{ErrorKind, Progress, RetryStrategy, SinkError};

use crate::stored::Stored;

/// An attempt, for which the strategy is owed exactly one answer: also if the sink panics, or the
/// worker is dropped, since others may wait for the answer to a probe.
pub(crate) struct Attempt<'a, E> {
    strategy: &'a dyn RetryStrategy<[Stored<E>]>,
    events: &'a [Stored<E>],
    progress: &'a mut Progress,
    answered: bool,
}

/// What the sink says of the events it was offered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// None of them is committed.
    All(SinkError),
    /// These are not committed, by their positions, in order; all others are.
    Some(Vec<(usize, SinkError)>),
}

impl<'a, E> Attempt<'a, E> {
    pub(crate) const fn new(
        strategy: &'a dyn RetryStrategy<[Stored<E>]>,
        events: &'a [Stored<E>],
        progress: &'a mut Progress,
    ) -> Self {
        Self { strategy, events, progress, answered: false }
    }

    /// Hands the answer on to the strategy.
    pub(crate) fn answer(mut self, result: Result<(), SinkError>) -> Answer {
        self.answered = true;
        let Err(error) = result else {
            self.strategy.success(self.events, self.progress);
            return Answer::Some(Vec::new());
        };
        let answer = Answer::new(error, self.events.len());
        match answer.retryable() {
            Some(error) => {
                let attempts = self.progress.attempts();
                tracing::debug!(attempts, kind = %error.kind(), "an attempt failed");
                self.progress.fail(error);
                self.strategy.failure(self.events, self.progress);
            }
            None => self.strategy.release(self.events, self.progress),
        }
        answer
    }
}

impl<E> Drop for Attempt<'_, E> {
    fn drop(&mut self) {
        if !self.answered {
            self.strategy.release(self.events, self.progress);
        }
    }
}

impl Answer {
    /// Of an error about so many events.
    fn new(error: SinkError, events: usize) -> Self {
        match error.failures() {
            [] => Self::All(own(error)),
            // A position beyond the events is a mistake of the sink's: then none can be trusted.
            [.., (last, _)] if *last >= events => {
                Self::All(SinkError::new(own(error.clone()).kind(), error))
            }
            failures => {
                let gone = failures.iter().any(|(_, error)| error.kind() == ErrorKind::Closed);
                let failures = failures.iter().map(|(at, error)| {
                    let error = own(error.clone());
                    // Behind a destination that is gone there is no later.
                    let gone = gone && error.kind().is_retryable();
                    (*at, if gone { SinkError::new(ErrorKind::Closed, error) } else { error })
                });
                Self::Some(failures.collect())
            }
        }
    }

    /// Why the event at this place is not committed; `None` if it is.
    pub(crate) fn error_of(&self, place: usize) -> Option<&SinkError> {
        match self {
            Self::All(error) => Some(error),
            Self::Some(failures) => {
                let at = failures.binary_search_by_key(&place, |(at, _)| *at).ok()?;
                Some(&failures[at].1)
            }
        }
    }

    /// The first error against which another attempt may help.
    fn retryable(&self) -> Option<SinkError> {
        let error = match self {
            Self::All(error) => Some(error),
            Self::Some(failures) => {
                failures.iter().map(|(_, error)| error).find(|error| error.kind().is_retryable())
            }
        };
        error.filter(|error| error.kind().is_retryable()).cloned()
    }
}

/// `Undelivered` is what the worker says of an event that nobody has tried, so a sink that says it
/// of one event is taken to be unavailable.
fn own(error: SinkError) -> SinkError {
    if error.kind() == ErrorKind::Undelivered { SinkError::unavailable(error) } else { error }
}
