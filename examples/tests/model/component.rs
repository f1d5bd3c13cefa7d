//! The parts of a pipeline, each behind one type, so that a plan can put them together as it likes.

use events_broadcast::Broadcaster;
use events_core::{
    AsyncSink, Breaker, Close, Closing, ExponentialBackoff, MaxAttempts, MaxElapsed, Progress,
    RetryStrategy, Sink, SinkError, Verdict,
};
use events_queue::Queue;
use events_retry::Retry;

use crate::{destination::Destination, event::Event, journal::Recorded};

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few live at a time")]
pub(crate) enum Component {
    Destination(Destination),
    Retry(Retry<Recorded<Destination>, Strategy>),
    Queue(Queue<Event>),
    Broadcaster(Broadcaster<Event>),
}

impl Close for Component {
    fn close(&self) -> Closing<'_> {
        match self {
            Self::Destination(sink) => sink.close(),
            Self::Retry(sink) => sink.close(),
            Self::Queue(sink) => sink.close(),
            Self::Broadcaster(sink) => sink.close(),
        }
    }

    fn abort(&self) {
        match self {
            Self::Destination(sink) => sink.abort(),
            Self::Retry(sink) => sink.abort(),
            Self::Queue(sink) => sink.abort(),
            Self::Broadcaster(sink) => sink.abort(),
        }
    }
}

impl Sink<Event> for Component {
    fn write(&self, event: &Event) -> Result<(), SinkError> {
        match self {
            Self::Destination(sink) => Sink::write(sink, event),
            Self::Retry(sink) => Sink::write(sink, event),
            Self::Queue(sink) => Sink::write(sink, event),
            Self::Broadcaster(sink) => Sink::write(sink, event),
        }
    }
}

impl AsyncSink<Event> for Component {
    async fn write(&self, event: &Event) -> Result<(), SinkError> {
        match self {
            Self::Destination(sink) => AsyncSink::write(sink, event).await,
            Self::Retry(sink) => AsyncSink::write(sink, event).await,
            Self::Queue(sink) => AsyncSink::write(sink, event).await,
            Self::Broadcaster(sink) => AsyncSink::write(sink, event).await,
        }
    }
}

/// What a queue that takes single events says to a batch, which no plan gives it.
const SINGLE: &str = "a batch is for a destination";

impl Sink<[Event]> for Component {
    fn write(&self, batch: &[Event]) -> Result<(), SinkError> {
        match self {
            Self::Destination(sink) => Sink::write(sink, batch),
            Self::Retry(sink) => Sink::write(sink, batch),
            Self::Queue(_) | Self::Broadcaster(_) => unreachable!("{SINGLE}"),
        }
    }
}

impl AsyncSink<[Event]> for Component {
    async fn write(&self, batch: &[Event]) -> Result<(), SinkError> {
        match self {
            Self::Destination(sink) => AsyncSink::write(sink, batch).await,
            Self::Retry(sink) => AsyncSink::write(sink, batch).await,
            Self::Queue(_) | Self::Broadcaster(_) => unreachable!("{SINGLE}"),
        }
    }
}

/// Any of the strategies.
#[derive(Debug)]
pub(crate) enum Strategy {
    Breaker(Breaker),
    Backoff(MaxAttempts<ExponentialBackoff>),
    Elapsed(MaxElapsed<Breaker>),
}

impl Strategy {
    fn inner<E: ?Sized>(&self) -> &dyn RetryStrategy<E> {
        match self {
            Self::Breaker(strategy) => strategy,
            Self::Backoff(strategy) => strategy,
            Self::Elapsed(strategy) => strategy,
        }
    }
}

impl<E: ?Sized> RetryStrategy<E> for Strategy {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        self.inner().proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        self.inner().success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        self.inner().failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        self.inner().release(event, progress);
    }
}
