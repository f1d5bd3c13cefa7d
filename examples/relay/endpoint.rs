//! One endpoint, and the pipeline that leads to it.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use events_broadcast::Broadcaster;
use events_core::{AsyncSink, Closing, ErrorKind, Filter, OrElse, SinkError};
use events_durable::{DurableQueue, Stored};
use events_http::{HttpSink, registry::Envelope};
use events_queue::Queue;
use events_retry::Retry;
use serde::Serialize;

use crate::{
    account::Entry,
    backlog::{self, Backlog},
    config::Settings,
    notification::Event,
    patience::Patience,
};

/// How long the first event of a batch waits for more.
const LINGER: Duration = Duration::from_millis(20);

/// A destination by name, with the account of its events.
pub struct Endpoint {
    pub name: String,
    /// The file where its events wait, if they wait on the disk.
    pub spool: Option<PathBuf>,
    http: Arc<HttpSink<Envelope>>,
    queue: Arc<dyn Backlog>,
    patience: Arc<Patience>,
    trouble: Arc<Trouble>,
}

/// What the queue's account does not tell.
#[derive(Default)]
struct Trouble {
    /// Events that the queue did not take, most often since the endpoint had been given up.
    late: AtomicU64,
    first_error: Mutex<Option<SinkError>>,
}

impl Endpoint {
    /// Sets up the pipeline and adds it to `all`.
    ///
    /// Up to `capacity` events wait in it. Then the reader waits too, and with it, sooner or later,
    /// the other endpoints: but not for longer than it takes to give up an endpoint, and they have
    /// as many events to go on with.
    ///
    /// With the directory `spool` they wait on the disk, as many as it holds. Then nobody has to
    /// wait for an endpoint that fails, and it is not given up while there is something to read.
    pub fn start(
        settings: &Settings,
        capacity: usize,
        spool: Option<&Path>,
        all: &Broadcaster<Event>,
    ) -> anyhow::Result<Self> {
        Self::build(settings, capacity, spool, all)
            .with_context(|| format!("endpoint `{}`", settings.name))
    }

    fn build(
        settings: &Settings,
        capacity: usize,
        spool: Option<&Path>,
        all: &Broadcaster<Event>,
    ) -> anyhow::Result<Self> {
        let trouble = Arc::new(Trouble::default());

        let mut http =
            HttpSink::builder(&settings.url).timeout(settings.timeout).format(Envelope::V1);
        for (name, value) in &settings.headers {
            http = http.header(name, value);
        }
        let http = Arc::new(http.build()?);
        let patience = Arc::new(Patience::new(settings, spool.is_none())?);

        let name = settings.name.as_str();
        let spool = spool.map(|dir| backlog::file(dir, name));
        let linger = if settings.batch > 1 { LINGER } else { Duration::ZERO };
        let queue: Arc<dyn Backlog> = match &spool {
            None => {
                let queue = Queue::builder().name(name).capacity(capacity);
                let sink = delivery::<Event>(&http, &patience, &trouble);
                Arc::new(queue.batch(settings.batch, linger).spawn_tokio(sink)?)
            }
            Some(file) => {
                let queue = DurableQueue::builder(file).name(name);
                let sink = delivery::<Stored<Event>>(&http, &patience, &trouble);
                Arc::new(queue.batch(settings.batch, linger).spawn_tokio(sink)?)
            }
        };

        let ignore = settings.ignore.clone();
        let wanted = Filter::new(Arc::clone(&queue), move |event: &Event| !ignore.covers(event));

        // A member that answers `Closed` would leave, and its later events would be in no account.
        let late = Arc::clone(&trouble);
        let accounted = OrElse::new(wanted, move |_: &Event, error: SinkError| {
            late.late.fetch_add(1, Ordering::Relaxed);
            // Why it is closed was noted before.
            if error.kind() != ErrorKind::Closed {
                late.note(&error);
            }
            Ok(())
        });
        all.add(Arc::new(accounted))?;

        Ok(Self { name: name.to_owned(), spool, http, queue, patience, trouble })
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
            kept: self.spool.is_some().then_some(stats.pending),
        }
    }

    /// There is nothing more to read, so an endpoint that fails is not waited for any longer.
    pub fn input_ended(&self) {
        self.patience.allow_giving_up();
    }

    /// Takes no more events, and gives up at the end of `limit` those it still has, or keeps them.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.queue.close_within(limit)
    }

    /// Why the first event that failed, or was kept, did not get there. What came after it may have
    /// failed because of it.
    pub fn first_error(&self) -> Option<SinkError> {
        self.trouble.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What delivers the events of a queue, in batches.
fn delivery<E: Serialize + Send + Sync + 'static>(
    http: &Arc<HttpSink<Envelope>>,
    patience: &Arc<Patience>,
    trouble: &Arc<Trouble>,
) -> impl AsyncSink<[E]> + 'static {
    let retry = Retry::new(Arc::clone(http), Arc::clone(patience));
    let trouble = Arc::clone(trouble);
    OrElse::new(retry, move |_: &[E], error: SinkError| {
        trouble.note(&error);
        match error.kind() {
            // Whoever was not to be had for so long is gone: without this, each event that waits
            // would be tried for as long again.
            ErrorKind::Unavailable => Err(SinkError::new(ErrorKind::Closed, error)),
            _ => Err(error),
        }
    })
}

impl Trouble {
    fn note(&self, error: &SinkError) {
        // Being given up is no cause, but may have one.
        if error.kind() != ErrorKind::Undelivered || error.source().is_some() {
            let mut first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.clone());
        }
    }
}
