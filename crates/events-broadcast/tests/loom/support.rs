//! Sinks that remember.

use std::sync::{Arc, Mutex, PoisonError};

use events_broadcast::Broadcaster;
use events_core::{AsyncSink, Close, Closing, Gate, Sink, SinkError};

/// Tries all orders with at most so many preemptions: switches from a thread that could go on.
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// What it got, in order. Its lock is a real one, since it is never held while threads meet.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    events: Mutex<Vec<u64>>,
    gate: Gate,
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<u64> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.check().is_err()
    }

    fn see(&self, event: u64) -> Result<(), SinkError> {
        self.gate.check()?;
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        Ok(())
    }
}

impl Close for Seen {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        Closing::done()
    }
}

impl Sink<u64> for Seen {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.see(*event)
    }
}

impl AsyncSink<u64> for Seen {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.see(*event)
    }
}

/// A broadcaster with so many sinks that are called on the writer's thread.
pub(crate) fn direct<const N: usize>() -> (Broadcaster<u64>, [Arc<Seen>; N]) {
    let all = Broadcaster::new();
    let sinks = std::array::from_fn(|_| Arc::new(Seen::default()));
    for sink in &sinks {
        all.add(Arc::<Seen>::clone(sink)).unwrap();
    }
    (all, sinks)
}
