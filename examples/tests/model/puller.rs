//! Code that pulls from a broadcaster.

use std::sync::{Arc, atomic::Ordering};

use events_broadcast::{Lag, Subscription};
use parking_lot::Mutex;

use crate::{
    event::Event,
    found::Window,
    journal::{Journal, Time},
    pause::nap,
    plan::Puller,
};

/// What it got.
pub(crate) struct Pulled {
    pub(crate) name: String,
    /// What is written to the broadcaster.
    pub(crate) entry: Arc<Journal>,
    pub(crate) lag: Lag,
    pub(crate) window: Window,
    pub(crate) received: Mutex<Received>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Received {
    pub(crate) events: Vec<Event>,
    /// How many it was told to have missed.
    pub(crate) missed: u64,
    /// Whether it was disconnected.
    pub(crate) cut_off: bool,
}

impl Pulled {
    pub(crate) fn new(name: String, entry: Arc<Journal>, lag: Lag, window: Window) -> Self {
        Self { name, entry, lag, window, received: Mutex::default() }
    }
}

/// Pulls until the end, or until it has had enough.
pub(crate) async fn pull(
    mut subscription: Subscription<Event>,
    plan: Puller,
    pulled: Arc<Pulled>,
    time: Arc<Time>,
) {
    let mut received = Received::default();
    while received.events.len() < plan.enough {
        match subscription.recv().await {
            Some(Ok(event)) => received.events.push(event),
            Some(Err(missed)) => {
                received.missed += missed.count();
                received.cut_off |= matches!(plan.lag, Lag::Disconnect(_));
            }
            None => break,
        }
        if plan.naps > 0 {
            nap(plan.naps).await;
        }
    }
    assert_eq!(received.missed, subscription.missed(), "{}", pulled.name);
    if received.events.len() >= plan.enough {
        pulled.window.leaving.store(0, Ordering::SeqCst);
    }
    drop(subscription);
    pulled.window.left.fetch_min(time.tick(), Ordering::SeqCst);
    *pulled.received.lock() = received;
}
