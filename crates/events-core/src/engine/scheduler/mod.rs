//! Several deliveries at a time from one feed, where no event waits for a stranger.
//!
//! A queue of one delivery at a time has its [`Worker`](crate::engine::Worker), which lends each chunk
//! of the log to the sink and knows what is settled by one position. This is for all others: up to n
//! events are in flight, those of one key one after the other, and an event that failed is parked
//! until it is due while the others go on.
//!
//! There are n [`Deliverer`]s, threads or tasks, and none of them is special. What they share is the
//! [`Backlog`](backlog::Backlog): one lock, under which each takes what is to be delivered next and
//! says what became of it. Events are moved out of their chunk as they are taken, so that none keeps
//! its neighbours in memory. What is settled is counted instead of positioned; where it matters what
//! is the first that is not, for a flush, the backlog is asked.

pub(crate) mod backlog;
pub(crate) mod batch;
mod crew;
mod deliverer;
mod held;
pub(crate) mod state;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{fmt, sync::Arc};

use crate::{
    engine::{
        account::{Account, AccountConfig},
        deliver::Deliver,
        feed::Reader,
        waits::Wide,
        worker_handle::WorkerHandle,
    },
    event::Event,
    strategy::schedule::Schedule,
};

use backlog::Backlog;
pub use backlog::{Mode, Policy};
pub use deliverer::{Deliverer, KeyOf};

/// What the users of a queue say about its events.
pub struct Rules<E> {
    /// Events of one key are delivered one after the other.
    pub key: Option<KeyOf<E>>,
    /// When one that failed is delivered again.
    pub schedule: Option<Schedule>,
}

/// The account of what `reader` reads, and so many deliverers to `sink`, as `rules` say.
pub fn schedule<E: Event + Clone, D: Deliver<E>>(
    reader: Reader<E>,
    sink: &D,
    deliverers: usize,
    policy: Policy,
    rules: &Rules<E>,
    parts: AccountConfig<E>,
) -> (Arc<Account<E>>, Vec<Deliverer<E, D>>) {
    let handle = Arc::new(WorkerHandle::new(None));
    let name = handle.id();
    let cursor = Arc::clone(&parts.cursor);
    let is_bounded = cursor.bound().is_some();
    let account = Account::new(&reader, parts, handle);
    let is_ordered = rules.key.is_some();
    let backlog = Arc::new(Backlog::new(reader, cursor, deliverers, is_ordered, policy));
    let account = Arc::new(account.with_backlog(Arc::clone(&backlog)));
    // One whose sink waits for another delivery does not hold up the rest.
    let wide = (deliverers > 1).then(|| Arc::new(Wide::new(name)));
    let deliverer = |id| Deliverer {
        id,
        name,
        account: Arc::clone(&account),
        backlog: Arc::clone(&backlog),
        sink: sink.clone(),
        key: rules.key.clone(),
        schedule: rules.schedule.clone(),
        is_slow: account.blocks(),
        is_bounded,
        spare: None,
        _wide: wide.clone(),
        has_ended: false,
    };
    let deliverers = (0..deliverers).map(deliverer).collect();
    (account, deliverers)
}

impl<E> fmt::Debug for Rules<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("ordered", &self.key.is_some())
            .field("schedule", &self.schedule)
            .finish()
    }
}
