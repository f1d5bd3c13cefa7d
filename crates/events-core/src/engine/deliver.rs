use std::future::ready;

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    runtime::park,
    sink::{AsyncSink, Close, Sink},
};

/// How a sink is given events that lie side by side.
pub trait Deliver<E>: Clone + Send + Sync + 'static {
    /// How many of `available` events it is given at once.
    fn span(&self, available: usize) -> usize;

    /// Writes `events`, as many as [`span`](Self::span) said.
    fn deliver(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// One after the other, to a sink of `E`.
#[derive(Debug, Clone)]
pub struct Each<S>(pub S);

impl<E: Event, S: AsyncSink<E> + Clone + 'static> Deliver<E> for Each<S> {
    fn span(&self, _available: usize) -> usize {
        1
    }

    fn deliver(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.0.write(&events[0])
    }
}

/// All at once, to a sink of `[E]`.
#[derive(Debug, Clone)]
pub struct Batches<S>(pub S);

impl<E: Event, S: AsyncSink<[E]> + Clone + 'static> Deliver<E> for Batches<S> {
    fn span(&self, available: usize) -> usize {
        available
    }

    fn deliver(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.0.write(events)
    }
}

/// A sink for threads in the place of one for tasks; each write blocks whoever polls it.
#[derive(Debug, Clone)]
pub struct Blocking<S>(pub S);

impl<S: Close> Close for Blocking<S> {
    fn close(&self) -> Closing<'_> {
        self.0.close()
    }

    fn abort(&self) {
        self.0.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>> AsyncSink<E> for Blocking<S> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        ready(park::outside(|| self.0.write(event)))
    }
}
