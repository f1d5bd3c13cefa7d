//! The worker's side: each event is settled, and whoever waits for that is told.

use std::sync::Arc;

use super::{Account, Flow, State};
use crate::{
    dead_letter::DeadLetter,
    engine::{isolate, worker_handle::WorkerHandle},
    error::{ErrorKind, SinkError},
    event::Event,
    runtime::trace::tell,
};

impl<E: Event + Clone> Account<E> {
    /// Tells those who wait how far the sink has come, and looks after them.
    fn publish(&self) -> Flow {
        if self.parts.cursor.publish() { self.serve_waiters() } else { Flow::Go }
    }

    /// The sink refused these events for good; of a batch perhaps only some, which it names.
    pub(crate) fn fail(&self, events: &[E], error: &SinkError) -> Flow {
        let failures = failures(events, error);
        let count = failures.len() as u64;
        let mut gone = error.kind() == ErrorKind::Closed;
        let ours = self.claim(events.len() as u64, |state| {
            if state.aborted {
                state.undelivered += count;
                // An abort closes what is inside, which is no news of the destination.
                gone = false;
            }
            for (_, error) in &failures {
                let given_up = matches!(error.kind(), ErrorKind::Closed | ErrorKind::Undelivered);
                if state.aborted && given_up {
                    state.abandoned += 1;
                } else {
                    state.failed += 1;
                }
            }
            if gone {
                let why = "the destination closed before its queue did";
                state.stopped_by = Some(SinkError::new(ErrorKind::Closed, why));
            }
            state.writing_dead_letters += 1;
        });
        if !ours {
            return Flow::Stop;
        }
        if gone {
            self.begin_close();
            // The worker is to see that it is done, before it takes another chunk.
            self.parts.cursor.notify();
        }
        self.write_dead_letters(&failures);
        self.dead_letters_written();
        if gone {
            // What is behind a destination that is gone is given up, not offered to it: the worker
            // is notified, now and whenever it looks again.
            self.parts.cursor.notify();
        }
        self.publish()
    }

    /// Leaves out what lies further behind than the bound allows, or before `first`, where the chunk
    /// begins that the log has given out next.
    pub(crate) fn skip_lag(&self, first: u64) -> Flow {
        match self.parts.cursor.lag(self.feed.head(), first) {
            0 => Flow::Go,
            count => self.lag(count),
        }
    }

    /// The worker lags by `count` events more than its bound allows: it skips them, or ends.
    fn lag(&self, count: u64) -> Flow {
        let ours = self.claim(count, |state| {
            state.skipped += count;
            if self.parts.disconnect {
                let why = "the sink lagged too far behind and was disconnected";
                state.stopped_by = Some(SinkError::new(ErrorKind::Closed, why));
                state.disconnected = true;
            }
        });
        if !ours {
            return Flow::Stop;
        }
        if self.parts.disconnect {
            tell(|| tracing::warn!(queue = self.name(), count, "disconnected: the sink lags"));
            self.begin_close();
        } else {
            self.traces().oldest.tell(count, |count| {
                tracing::warn!(
                    queue = self.name(),
                    count,
                    "dropped the oldest events: the sink lags"
                );
            });
        }
        self.publish()
    }

    /// Settles `count` events as not delivered, unless somebody else has.
    fn claim(&self, count: u64, account: impl FnOnce(&mut State<E>)) -> bool {
        let mut state = self.state.lock();
        if state.settled_at_end.is_some() {
            return false;
        }
        account(&mut state);
        self.parts.cursor.settle(count);
        true
    }

    /// Looks after all who want attention.
    pub(crate) fn serve_waiters(&self) -> Flow {
        self.parts.cursor.clear_notified();
        let mut state = self.state.lock();
        let waiting = state.flushed(self.parts.cursor.reached());
        self.parts.cursor.notify_at(state.flush_at);
        let flow = state.flow();
        drop(state);
        waiting.wake();
        let line = self.feed.admit();
        if line || flow == Flow::Stop {
            self.parts.cursor.notify();
        }
        flow
    }

    /// From now on `worker` delivers to the sink. True if somebody wants attention: perhaps they have
    /// notified the worker before, who does not look after this account any more, so the caller is to
    /// [notify](WorkerHandle::notify) the new one.
    #[must_use]
    pub(crate) fn attach(&self, worker: &Arc<WorkerHandle<E>>) -> bool {
        let before = std::mem::replace(&mut self.state.lock().worker, Arc::clone(worker));
        drop(before);
        self.parts.cursor.is_notified()
    }

    /// Gives these events to the dead letter, each with its error.
    ///
    /// All that is called meanwhile, subscribers of traces too, is called on the worker's behalf: it
    /// would wait for itself if it waited for the worker.
    pub(super) fn write_dead_letters(&self, failures: &[(&E, &SinkError)]) {
        if let Some((_, first)) = failures.first() {
            let worker = self.worker().id();
            isolate::inside(worker, || self.tell_and_hand_on(worker, failures, first));
        }
    }

    fn tell_and_hand_on(&self, worker: usize, failures: &[(&E, &SinkError)], first: &SinkError) {
        self.traces().failed.tell(failures.len() as u64, |count| {
            let kind = first.kind();
            tracing::warn!(queue = self.name(), count, %kind, "events were not delivered");
        });
        let Some(dead_letter) = &self.parts.dead_letter else { return };
        for &(event, error) in failures {
            let refused = isolate::call(worker, || {
                dead_letter.write(&DeadLetter { event: event.clone(), error: error.clone() })
            });
            if let Err(refused) = refused.and_then(|result| result) {
                self.traces().refused.tell(1, |count| {
                    let kind = refused.kind();
                    tracing::error!(queue = self.name(), count, %kind, "dead letters were refused");
                });
            }
        }
    }
}

impl<E> Account<E> {
    pub(super) fn worker(&self) -> Arc<WorkerHandle<E>> {
        Arc::clone(&self.state.lock().worker)
    }
}

/// The events that failed, each with its error: those that the error names, if it names any.
pub(super) fn failures<'a, E>(
    events: &'a [E],
    error: &'a SinkError,
) -> Vec<(&'a E, &'a SinkError)> {
    let named = error.failures();
    // A position beyond the events is a mistake of the sink's: then none of them can be trusted.
    if named.is_empty() || named.iter().any(|(at, _)| *at >= events.len()) {
        return events.iter().map(|event| (event, error)).collect();
    }
    named.iter().map(|(at, error)| (&events[*at], error)).collect()
}
