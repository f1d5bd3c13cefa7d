use std::{fmt, sync::Arc, time::Duration};

use events_core::{Close, Closing, Event, Stats, engine::Account};

use crate::sink_id::SinkId;

/// A sink that a [`Broadcaster`](crate::Broadcaster) delivers to on a thread or in a task: to look
/// at it, to flush it, or to close it alone.
///
/// Dropping it changes nothing.
pub struct Delivery<E> {
    id: SinkId,
    account: Arc<Account<E>>,
}

impl<E: Event + Clone> Delivery<E> {
    pub(crate) const fn new(id: SinkId, account: Arc<Account<E>>) -> Self {
        Self { id, account }
    }

    /// Names the sink in the broadcaster's [`stats`](crate::Broadcaster::stats).
    pub const fn id(&self) -> SinkId {
        self.id
    }

    /// The sink's name in traces, and that of its thread.
    pub fn name(&self) -> &str {
        self.account.name()
    }

    /// What became of the events since it joined.
    pub fn stats(&self) -> Stats {
        self.account.stats()
    }

    /// A barrier: ends once every event written before is delivered, failed or dropped.
    pub fn flush(&self) -> Closing<'_> {
        self.account.flush()
    }

    /// [`close`](Close::close), but at the end of `limit` what is left is given up: the sink is
    /// [aborted](Close::abort), and every event that it has not committed is counted and handed to
    /// the dead letter. It ends a moment after the limit at the latest, however stuck the sink.
    ///
    /// The limit counts from now. It is kept by whoever waits for the [`Closing`].
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.account.close_within(limit)
    }
}

/// The sink leaves the broadcaster: it gets what was written before, then it is closed.
impl<E: Event + Clone> Close for Delivery<E> {
    fn close(&self) -> Closing<'_> {
        self.account.close()
    }

    fn abort(&self) {
        self.account.abort();
    }
}

impl<E> Clone for Delivery<E> {
    fn clone(&self) -> Self {
        Self { id: self.id, account: Arc::clone(&self.account) }
    }
}

impl<E> fmt::Debug for Delivery<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("id", &self.id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}
