use std::{sync::Arc, time::Duration};

use events_core::{AsyncSink, Close, ErrorKind, Memory};
use events_durable::{DurableQueue, Plain, Spool};

use crate::support::place;

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_task_writes_and_a_task_delivers() {
    let place = place();
    let memory = Arc::new(Memory::<u64>::new());
    let queue = DurableQueue::spawn_tokio(Plain::new(Arc::clone(&memory)), &place.path).unwrap();
    for number in 0..100 {
        queue.write(&number).await.unwrap();
    }
    queue.flush().await.unwrap();
    assert_eq!(memory.len(), 100);
    // The worker is a task of this very thread.
    assert_eq!(queue.close().wait().unwrap_err().kind(), ErrorKind::WouldDeadlock);
    queue.close().await.unwrap();
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_deadline_in_a_task_keeps_the_rest() {
    let place = place();
    let stuck = events_core::sink_fn(|_: &events_durable::Stored<u64>| {
        std::future::pending::<Result<(), events_core::SinkError>>()
    });
    let queue = DurableQueue::spawn_tokio(stuck, &place.path).unwrap();
    queue.write(&1).await.unwrap();
    queue.write(&2).await.unwrap();
    let error = queue.close_within(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error.undelivered(), Some(2));
    assert_eq!(Spool::open(&place.path).unwrap().stats().unwrap().pending, 2);
}

#[tokio::test]
async fn a_worker_that_is_dropped_keeps_everything() {
    let place = place();
    let (queue, worker) =
        DurableQueue::pair(Plain::new(Memory::<u64>::new()), &place.path).unwrap();
    queue.write(&1).await.unwrap();
    drop(worker);
    let error = queue.close().await.unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(1)));
    assert_eq!(queue.write(&2).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(queue.stats().pending, 1);
}
