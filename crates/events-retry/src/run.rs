//! One write on its way through attempts and waits: what threads and tasks share.

use std::{ops::ControlFlow, time::Duration};

use events_core::{ErrorKind, Progress, RetryStrategy, SinkError, Verdict};

use crate::state::State;

/// One write.
pub(crate) struct Run<'a, E: ?Sized, R: RetryStrategy<E>> {
    event: &'a E,
    strategy: &'a R,
    state: &'a State,
    progress: Progress,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not let in yet.
    New,
    /// Between two attempts.
    Between,
    /// In an attempt, for which the strategy is owed an answer.
    Trying,
}

/// What a write does next.
pub(crate) enum Next {
    /// Write to the inner sink, and tell the [`Run::answer`].
    Try,
    /// [Wait](State::wait), then ask again.
    Wait { seen: u64, limit: Duration },
    /// Nothing: it has failed.
    End(SinkError),
}

impl<'a, E: ?Sized, R: RetryStrategy<E>> Run<'a, E, R> {
    pub(crate) const fn new(event: &'a E, strategy: &'a R, state: &'a State) -> Self {
        Self { event, strategy, state, progress: Progress::new(), stage: Stage::New }
    }

    /// Asks the strategy.
    #[inline]
    pub(crate) fn next(&mut self) -> Next {
        if let Err(closed) = self.state.closed.check() {
            return Next::End(if self.stage == Stage::New { closed } else { self.cut_off() });
        }
        if self.stage != Stage::New {
            self.progress.refresh();
        }
        // Read before the strategy is asked, so that an answer in between ends the wait.
        let seen = self.state.answers();
        match self.strategy.proceed(self.event, &self.progress) {
            verdict @ (Verdict::Go | Verdict::Probe) => {
                if self.progress.attempts() > 0 {
                    self.state.count(|counts| counts.retries += 1);
                }
                self.progress.begin(verdict);
                self.stage = Stage::Trying;
                Next::Try
            }
            Verdict::Wait(limit) => {
                self.stage = Stage::Between;
                Next::Wait { seen, limit }
            }
            Verdict::GiveUp => Next::End(self.give_up("the strategy says so")),
        }
    }

    /// What the inner sink says. The write ends with what this breaks with.
    #[inline]
    pub(crate) fn answer(
        &mut self,
        result: Result<(), SinkError>,
    ) -> ControlFlow<Result<(), SinkError>> {
        self.stage = Stage::Between;
        match result {
            Ok(()) => {
                self.strategy.success(self.event, &self.progress);
                self.state.succeeded();
                ControlFlow::Break(Ok(()))
            }
            Err(error) => self.failed(error),
        }
    }

    #[cold]
    fn failed(&mut self, error: SinkError) -> ControlFlow<Result<(), SinkError>> {
        if !error.kind().is_retryable() {
            self.strategy.release(self.event, &self.progress);
            self.state.answered(|counts| counts.refused += 1);
            return ControlFlow::Break(Err(error));
        }
        let (attempts, kind) = (self.progress.attempts(), error.kind());
        self.progress.fail(error);
        self.strategy.failure(self.event, &self.progress);
        self.state.answered(|counts| counts.failures += 1);
        // Once it is answered: a subscriber that writes here would wait for the answer to a probe.
        self.state.failed.tell(1, |count| {
            tracing::debug!(count, attempts, %kind, "attempts failed");
        });
        ControlFlow::Continue(())
    }

    /// The error of a write that has begun and is ended by an abort or a close.
    fn cut_off(&self) -> SinkError {
        if self.state.aborted.check().is_err() {
            SinkError::undelivered_events(1).with_source(self.give_up("the retry was aborted"))
        } else {
            SinkError::new(ErrorKind::Closed, self.give_up("the retry was closed"))
        }
    }

    fn give_up(&self, why: &'static str) -> SinkError {
        self.state.count(|counts| counts.given_up += 1);
        let error = self.progress.last_error().cloned();
        let error = error.unwrap_or_else(|| SinkError::unavailable("it was never tried"));
        let attempts = self.progress.attempts();
        self.state.given_up.tell(1, |count| {
            tracing::warn!(count, attempts, kind = %error.kind(), why, "gave up on events");
        });
        error
    }
}

impl<E: ?Sized, R: RetryStrategy<E>> Drop for Run<'_, E, R> {
    fn drop(&mut self) {
        // The inner sink panicked, or the future was dropped.
        if self.stage == Stage::Trying {
            self.strategy.release(self.event, &self.progress);
            self.state.answered(|counts| counts.abandoned += 1);
        }
    }
}
