use std::{future::poll_fn, task::Poll};

use events_core::{
    Event,
    engine::{Deliver, Worker},
};

/// Drives all lanes in one future: one that waits does not hold up the others.
pub(crate) async fn drive<E, D>(mut workers: Vec<Worker<E, D>>)
where
    E: Event + Clone,
    D: Deliver<E>,
{
    if workers.len() == 1
        && let Some(worker) = workers.pop()
    {
        return worker.run().await;
    }
    let mut lanes: Vec<_> = workers.into_iter().map(|worker| Box::pin(worker.run())).collect();
    poll_fn(|cx| {
        lanes.retain_mut(|lane| lane.as_mut().poll(cx).is_pending());
        if lanes.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
