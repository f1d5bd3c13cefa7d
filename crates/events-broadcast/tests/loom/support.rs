//! Sinks that remember.

use std::sync::{Arc, Mutex, PoisonError};

use events_broadcast::Broadcaster;
use events_core::{AsyncSink, Close, Closing, Sink, SinkError};

/// Tries all orders with at most so many preemptions: switches from a thread that could go on.
pub(crate) fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// What it got, in order. Its lock is a real one, since it is never held while threads meet.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    events: Vec<u64>,
    closed: usize,
}

impl Seen {
    pub(crate) fn events(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }

    pub(crate) fn times_closed(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    fn see(&self, event: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).events.push(event);
    }
}

impl Close for Seen {
    fn close(&self) -> Closing<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).closed += 1;
        Closing::done()
    }
}

impl Sink<u64> for Seen {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.see(*event);
        Ok(())
    }
}

impl AsyncSink<u64> for Seen {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.see(*event);
        Ok(())
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
