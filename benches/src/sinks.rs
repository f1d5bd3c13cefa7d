use std::sync::atomic::{AtomicU64, Ordering};

use events_core::{AsyncSink, Close, Sink, SinkError};
use tokio::sync::{Notify, Semaphore};

use crate::Event;

/// The cheapest honest sink: one atomic addition an event.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// How many events it got.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Close for Counter {}

impl<E: events_core::Event> Sink<E> for Counter {
    fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

impl<E: events_core::Event> AsyncSink<E> for Counter {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        Sink::write(self, event)
    }
}

/// Counts the writes of many subscribers and says when all of them have seen an event.
#[derive(Debug)]
pub struct Round {
    count: AtomicU64,
    subscribers: u64,
    done: Notify,
}

impl Round {
    /// For so many subscribers.
    pub fn new(subscribers: u64) -> Self {
        Self { count: AtomicU64::new(0), subscribers, done: Notify::new() }
    }

    /// Ends once all have seen the event.
    pub async fn done(&self) {
        self.done.notified().await;
    }
}

impl Close for Round {}

impl Sink<Event> for Round {
    fn write(&self, _event: &Event) -> Result<(), SinkError> {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count.is_multiple_of(self.subscribers) {
            self.done.notify_one();
        }
        Ok(())
    }
}

impl AsyncSink<Event> for Round {
    async fn write(&self, event: &Event) -> Result<(), SinkError> {
        Sink::write(self, event)
    }
}

/// Waits in its first write until released, so that a backlog builds up behind it.
#[derive(Debug)]
pub struct Stuck(Semaphore);

impl Default for Stuck {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Stuck {
    /// Lets everything pass from now on.
    pub fn release(&self) {
        self.0.close();
    }
}

impl Close for Stuck {}

impl<E: events_core::Event> AsyncSink<E> for Stuck {
    async fn write(&self, _event: &E) -> Result<(), SinkError> {
        // An error is the release.
        let _released = self.0.acquire().await;
        Ok(())
    }
}
