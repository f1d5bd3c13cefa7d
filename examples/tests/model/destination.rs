//! Where a pipeline ends: a sink with the faults that its plan says.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use events_core::{AsyncSink, Close, Closing, ErrorKind, Sink, SinkError, engine::park::block_on};
use parking_lot::Mutex;

use crate::{
    event::{Event, Events},
    fault::{self, Faults, Reply, Wait},
    pause::{Latch, nap, yield_times},
};

#[derive(Debug)]
pub(crate) struct Destination {
    faults: Faults,
    attempts: Mutex<HashMap<Event, u32>>,
    is_closed: AtomicBool,
    is_aborted: AtomicBool,
    signals: Arc<Signals>,
}

/// What the run and a destination tell each other.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// Opened by the run, so that nothing is stuck any more.
    pub(crate) release: Latch,
    /// Opened by the destination once it is closed.
    pub(crate) closed: Latch,
}

impl Destination {
    pub(crate) fn new(faults: Faults, signals: Arc<Signals>) -> Self {
        Self {
            faults,
            attempts: Mutex::default(),
            is_closed: AtomicBool::new(false),
            is_aborted: AtomicBool::new(false),
            signals,
        }
    }

    async fn take(&self, events: &[Event]) -> Result<(), SinkError> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(SinkError::closed());
        }
        let first = events[0];
        let attempt = {
            let mut attempts = self.attempts.lock();
            let attempt = attempts.entry(first).or_default();
            *attempt += 1;
            *attempt
        };
        let (wait, reply) = self.faults.of(first, attempt);
        match wait {
            Wait::No => {}
            Wait::Yields(times) => yield_times(times).await,
            Wait::Naps(micros) => nap(micros).await,
            Wait::Stuck => {
                self.signals.release.pass().await;
                if self.is_aborted.load(Ordering::SeqCst) && first.number.is_multiple_of(2) {
                    return Err(SinkError::new(ErrorKind::Undelivered, "aborted"));
                }
            }
        }
        match reply {
            Reply::Takes => Ok(()),
            Reply::Rejects => Err(SinkError::rejected("it does not like this one")),
            Reply::IsUnavailable => Err(SinkError::unavailable("not now")),
            Reply::Closes => Err(SinkError::closed()),
            Reply::Panics => fault::panic(),
            Reply::RefusesSome => {
                let refused = self.faults.some_of(first, events.len()).into_iter().map(|at| {
                    let error = match at % 3 {
                        0 => SinkError::unavailable("not this one now"),
                        _ => SinkError::rejected("not this one"),
                    };
                    (at, error)
                });
                SinkError::of_batch(refused.collect()).map_or(Ok(()), Err)
            }
        }
    }
}

impl Close for Destination {
    fn close(&self) -> Closing<'_> {
        self.is_closed.store(true, Ordering::SeqCst);
        self.signals.closed.open();
        if !self.faults.closes_badly {
            return Closing::done();
        }
        match self.faults.seed % 3 {
            0 => fault::panic(),
            1 => Closing::ended(Err(SinkError::unavailable("it does not close"))),
            _ => Closing::new(async {
                nap(200).await;
                Err(SinkError::unavailable("it took a while"))
            }),
        }
    }

    fn abort(&self) {
        self.is_aborted.store(true, Ordering::SeqCst);
        if self.faults.heeds_abort {
            self.signals.release.open();
        }
        if self.faults.closes_badly && self.faults.seed.is_multiple_of(2) {
            fault::panic();
        }
    }
}

impl<E: ?Sized + Events> Sink<E> for Destination {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        block_on(self.take(event.list()))
    }
}

impl<E: ?Sized + Events> AsyncSink<E> for Destination {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.take(event.list()).await
    }
}
