use std::{sync::Arc, time::Duration};

use events_core::{AsyncSink, Close, ErrorKind, Memory, SinkError, sink_fn};
use events_durable::{DurableQueue, Plain, Spool, Stored};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::support::place;

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

#[tokio::test]
async fn a_deadline_in_a_task_keeps_the_rest() {
    let place = place();
    let stuck = sink_fn(|_: &Stored<u64>| std::future::pending::<Result<(), SinkError>>());
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

#[tokio::test(start_paused = true)]
async fn a_destination_is_left_alone_for_as_long_as_it_asks() {
    const ASKED: Duration = Duration::from_mins(10);
    let place = place();
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&attempts);
    let busy = sink_fn(move |event: &Stored<u64>| {
        let mut attempts = seen.lock();
        attempts.push((**event, Instant::now()));
        let busy = SinkError::unavailable("busy").with_retry_after(ASKED);
        std::future::ready(if attempts.len() == 1 { Err(busy) } else { Ok(()) })
    });
    let queue = DurableQueue::spawn_tokio(busy, &place.path).unwrap();
    queue.write(&0).await.unwrap();
    queue.write(&1).await.unwrap();
    queue.close().await.unwrap();
    let attempts = attempts.lock();
    let numbers: Vec<_> = attempts.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 0, 1]);
    assert!(attempts[1].1 - attempts[0].1 >= ASKED);
    assert_eq!(queue.stats().delivered, 2);
}

#[tokio::test]
async fn an_abort_ends_a_task_that_waits_to_try_again() {
    let place = place();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let down = sink_fn(move |_: &Stored<u64>| {
        tell.send(()).unwrap();
        let asked = Duration::from_hours(24);
        std::future::ready(Err(SinkError::unavailable("busy").with_retry_after(asked)))
    });
    let queue = DurableQueue::spawn_tokio(down, &place.path).unwrap();
    queue.write(&0).await.unwrap();
    told.recv().await.unwrap();
    queue.abort();
    assert_eq!(queue.close().await.unwrap_err().undelivered(), Some(1));
    assert_eq!(Spool::open(&place.path).unwrap().stats().unwrap().pending, 1);
}
