//! One endpoint, and the pipeline that leads to it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use events_broadcast::Broadcaster;
use events_core::{
    Breaker, Closing, DeadLetter, ErrorKind, Filter, MaxElapsed, OrElse, SinkError, sink_fn,
};
use events_http::HttpSink;
use events_queue::Queue;
use events_retry::Retry;

use crate::{
    account::Entry,
    config::Settings,
    notification::{Envelope, Event},
};

/// How long the first event of a batch waits for more.
const LINGER: Duration = Duration::from_millis(20);

/// A destination by name, with the account of its events.
pub struct Endpoint {
    pub name: String,
    http: Arc<HttpSink<Envelope>>,
    queue: Queue<Event>,
    trouble: Arc<Trouble>,
}

/// What the queue's account does not tell.
#[derive(Default)]
struct Trouble {
    /// Events that came after the endpoint had been given up.
    late: AtomicU64,
    first_error: Mutex<Option<SinkError>>,
}

impl Endpoint {
    /// Sets up the pipeline and adds it to `all`.
    ///
    /// Up to `capacity` events wait in it. Then the reader waits too, and with it, sooner or later,
    /// the other endpoints: but not for longer than it takes to give up an endpoint, and they have
    /// as many events to go on with.
    pub fn start(
        settings: &Settings,
        capacity: usize,
        all: &Broadcaster<Event>,
    ) -> anyhow::Result<Self> {
        Self::build(settings, capacity, all)
            .with_context(|| format!("endpoint `{}`", settings.name))
    }

    fn build(
        settings: &Settings,
        capacity: usize,
        all: &Broadcaster<Event>,
    ) -> anyhow::Result<Self> {
        let trouble = Arc::new(Trouble::default());

        let mut http = HttpSink::builder(&settings.url).timeout(settings.timeout).format(Envelope);
        for (name, value) in &settings.headers {
            http = http.header(name, value);
        }
        let http = Arc::new(http.build()?);

        let breaker = Breaker::new(settings.threshold, settings.backoff)?;
        let patience = MaxElapsed::new(breaker, settings.give_up)?;
        let retry = Retry::new(Arc::clone(&http), patience);

        // Whoever was not to be had for so long is gone: without this, each event that waits would
        // be tried for as long again.
        let retry_or_gone =
            OrElse::new(retry, |_: &[Event], error: SinkError| match error.kind() {
                ErrorKind::Unavailable => Err(SinkError::new(ErrorKind::Closed, error)),
                _ => Err(error),
            });

        let letters = Arc::clone(&trouble);
        let dead_letter = sink_fn(move |letter: &DeadLetter<Event>| {
            letters.note(&letter.error);
            Ok(())
        });
        let linger = if settings.batch > 1 { LINGER } else { Duration::ZERO };
        let queue = Queue::builder()
            .name(settings.name.as_str())
            .capacity(capacity)
            .dead_letter(dead_letter)
            .batch(settings.batch, linger)
            .spawn_tokio(retry_or_gone)?;

        let ignore = settings.ignore.clone();
        let wanted = Filter::new(queue.clone(), move |event: &Event| !ignore.covers(event));

        // A member that answers `Closed` would leave, and its later events would be in no account.
        let late = Arc::clone(&trouble);
        let accounted = OrElse::new(wanted, move |_: &Event, _| {
            late.late.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        all.add(Arc::new(accounted))?;

        Ok(Self { name: settings.name.clone(), http, queue, trouble })
    }

    /// Its line in the account.
    pub fn entry(&self) -> Entry {
        let stats = self.queue.stats();
        let late = self.trouble.late.load(Ordering::Relaxed);
        Entry {
            name: self.name.clone(),
            accepted: stats.accepted + late,
            delivered: stats.delivered,
            failed: stats.failed + late,
            dropped: stats.dropped.total(),
            attempts: self.http.stats().attempts,
            pending: stats.pending,
        }
    }

    /// Takes no more events, and gives up at the end of `limit` those it still has.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.queue.close_within(limit)
    }

    /// Why the first event that failed did. What failed after it may have failed because of it.
    pub fn first_error(&self) -> Option<SinkError> {
        self.trouble.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Trouble {
    fn note(&self, error: &SinkError) {
        // Being given up is no cause.
        if error.kind() != ErrorKind::Undelivered {
            let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}
