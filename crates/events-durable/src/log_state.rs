use std::{path::PathBuf, sync::Arc};

use events_core::{Event, SinkError, engine::TraceLimit};

use crate::{
    commit_queue::{Bounds, CommitQueue},
    consumer_state::{Aftermath, ConsumerState, Locked},
    load_queue::LoadQueue,
    openings::Openings,
    retention::Retention,
    tip::Tip,
};

/// What is shared by all who have to do with a log.
#[derive(Debug)]
pub(crate) struct LogState<E> {
    pub(crate) name: Arc<str>,
    pub(crate) path: PathBuf,
    pub(crate) openings: Arc<Openings>,
    pub(crate) retention: Retention,
    pub(crate) commits: CommitQueue<E>,
    pub(crate) loads: LoadQueue<E>,
    pub(crate) tip: Tip<E>,
    /// What is told of it, rarely.
    pub(crate) dropped: TraceLimit,
    pub(crate) failures: TraceLimit,
    pub(crate) undecoded: TraceLimit,
}

/// What a new [`LogState`] is made of.
#[derive(Debug)]
pub(crate) struct LogParts {
    pub(crate) name: Arc<str>,
    pub(crate) path: PathBuf,
    pub(crate) openings: Arc<Openings>,
    pub(crate) retention: Retention,
    pub(crate) bounds: Bounds,
    pub(crate) head: u64,
    pub(crate) used: u64,
}

impl<E> LogState<E> {
    pub(crate) fn new(parts: LogParts) -> Self {
        Self {
            name: parts.name,
            path: parts.path,
            openings: parts.openings,
            retention: parts.retention,
            commits: CommitQueue::new(parts.bounds, parts.head, parts.used),
            loads: LoadQueue::new(),
            tip: Tip::new(),
            dropped: TraceLimit::new(),
            failures: TraceLimit::new(),
            undecoded: TraceLimit::new(),
        }
    }

    /// Has others do what follows from a change of `consumer`.
    pub(crate) fn follow_up(&self, consumer: &Arc<ConsumerState<E>>, aftermath: Aftermath) {
        if aftermath.has_changes || aftermath.is_urgent {
            self.commits.changed(consumer, aftermath);
        }
        if aftermath.is_hungry {
            self.loads.add(consumer);
        }
    }

    /// Takes no more events. The consumers deliver what there is, and end.
    pub(crate) fn close(&self) {
        let consumers = self.commits.close(SinkError::closed(), false);
        let head = self.commits.lock().head_after_writes();
        for consumer in consumers {
            self.follow_up(&consumer, consumer.change(|locked| locked.close_at(head)));
            // Though nothing may have changed, it may be over.
            self.loads.add(&consumer);
        }
    }

    /// Takes no more events, and has the consumers keep what they have not delivered.
    pub(crate) fn abort(&self)
    where
        E: Event,
    {
        self.close();
        let consumers = self.commits.lock().consumers().to_vec();
        for consumer in consumers {
            self.abort_one(&consumer);
        }
    }

    /// Has one consumer keep what it has not delivered.
    pub(crate) fn abort_one(&self, consumer: &Arc<ConsumerState<E>>)
    where
        E: Event,
    {
        let aftermath = consumer.change(Locked::abort);
        self.follow_up(consumer, aftermath);
        if let Some(account) = consumer.account() {
            account.abort();
        }
    }

    /// The file cannot be read or written any more.
    pub(crate) fn give_up(&self, why: SinkError) {
        for consumer in self.commits.close(why, true) {
            let aftermath = consumer.change(Locked::stop);
            self.follow_up(&consumer, aftermath);
            self.loads.add(&consumer);
        }
    }
}
