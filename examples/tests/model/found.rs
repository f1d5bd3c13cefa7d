//! What a run leaves behind to be checked: the parts that keep an account, each with its journals.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use events_broadcast::Lag;
use events_core::{Overflow, Stats};
use events_retry::RetryStats;
use parking_lot::Mutex;

use crate::{
    component::Component,
    journal::{Dead, Journal, Recorded, Time},
    plan::{Drive, Lanes},
    puller::Pulled,
};

#[derive(Default)]
pub(crate) struct Found {
    pub(crate) accounts: Vec<Arc<Account>>,
    pub(crate) members: Vec<Member>,
    pub(crate) pulled: Vec<Arc<Pulled>>,
    pub(crate) retries: Vec<Retried>,
    /// Whose parts were told to give up what they have, and when: also one that joins just then.
    pub(crate) given_up: Vec<(String, u64)>,
    /// When the workers were dropped that somebody else drives: also one that joins just then.
    pub(crate) dismissed: Option<u64>,
}

/// A queue, or a subscriber with a worker.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) entry: Arc<Journal>,
    pub(crate) exit: Arc<Journal>,
    pub(crate) dead: Arc<Dead>,
    /// What it delivers to, as long as somebody holds that.
    pub(crate) next: Weak<Recorded<Component>>,
    /// None once the handle is let go.
    pub(crate) stats: Mutex<Option<Box<dyn Fn() -> Stats + Send>>>,
    pub(crate) kind: Kind,
    pub(crate) drive: Drive,
    pub(crate) window: Window,
    /// When it was told to give up what it has, at the earliest.
    pub(crate) aborted: AtomicU64,
}

impl Account {
    /// It may give up what it has from now on.
    pub(crate) fn may_abort(&self, time: &Time) {
        self.aborted.fetch_min(time.tick(), Ordering::SeqCst);
    }

    pub(crate) fn stats(&self) -> Option<Stats> {
        self.stats.lock().as_ref().map(|stats| stats())
    }

    /// Whether its handle was let go and its worker still delivers.
    pub(crate) fn is_draining(&self) -> bool {
        self.stats.lock().is_none() && self.next.strong_count() > 0
    }

    pub(crate) const fn is_queue(&self) -> bool {
        matches!(self.kind, Kind::Queue { .. })
    }

    /// Lets go of its handle, which is the last one perhaps.
    pub(crate) fn let_go(&self) {
        let handle = self.stats.lock().take();
        drop(handle);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has every event whose write was `Ok`.
    Queue { lanes: Lanes, overflow: Option<Overflow> },
    /// It has those that were written while it was there.
    Subscriber { lag: Lag },
}

/// When a part was there: surely between the inner two times, surely not outside the outer two.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) joining: u64,
    pub(crate) joined: u64,
    pub(crate) leaving: AtomicU64,
    pub(crate) left: AtomicU64,
}

impl Window {
    pub(crate) fn from(joining: u64, joined: u64) -> Self {
        let [leaving, left] = [u64::MAX; 2].map(AtomicU64::new);
        Self { joining, joined, leaving, left }
    }

    /// Does what makes the part leave.
    pub(crate) fn leave<T>(&self, time: &Time, how: impl FnOnce() -> T) -> T {
        // Its worker may have been dropped before.
        self.leaving.fetch_min(time.tick(), Ordering::SeqCst);
        let result = how();
        self.left.store(time.tick(), Ordering::SeqCst);
        result
    }
}

/// A sink that writers call.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) entry: Arc<Journal>,
    pub(crate) exit: Arc<Journal>,
    pub(crate) window: Arc<Window>,
}

#[derive(Clone)]
pub(crate) struct Retried {
    pub(crate) name: String,
    pub(crate) exit: Arc<Journal>,
    pub(crate) entry: Arc<Journal>,
    /// The retry, as long as somebody holds it.
    pub(crate) sink: Weak<Recorded<Component>>,
}

impl Retried {
    /// Its figures; none once nobody holds it.
    pub(crate) fn stats(&self) -> Option<RetryStats> {
        let sink = self.sink.upgrade()?;
        match &sink.inner {
            Component::Retry(retry) => Some(retry.stats()),
            _ => None,
        }
    }

    /// Whether it has counted every attempt.
    pub(crate) fn has_counted(&self) -> bool {
        self.stats().is_none_or(|stats| stats.attempts == self.exit.calls().len() as u64)
    }
}
