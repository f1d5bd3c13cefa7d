//! Worker futures that are dropped, and handles that are.

use std::{sync::Arc, task::Poll, thread, time::Duration};

use events_core::{AsyncSink, Close, ErrorKind, Memory, engine::park::block_on};
use events_queue::{DeadLetter, Queue};

use crate::support::{Script, assert_kind, assert_stats, in_time, poll_once};

type Dead = Arc<Memory<DeadLetter<u64>>>;

fn events(dead: &Dead) -> Vec<u64> {
    dead.take().iter().map(|letter| letter.event).collect()
}

fn write(queue: &Queue<u64>, event: u64) {
    block_on(AsyncSink::write(queue, &event)).unwrap();
}

#[test]
fn a_worker_dropped_unpolled_ends_the_account() {
    let dead = Dead::default();
    let script = Script::new();
    let (queue, worker) =
        Queue::builder().dead_letter(Arc::clone(&dead)).pair(script.clone()).unwrap();
    write(&queue, 0);
    write(&queue, 1);
    let mut closing = queue.close();
    assert!(poll_once(&mut closing).is_pending());
    drop(worker);
    let Poll::Ready(result) = poll_once(&mut closing) else { panic!("the closer is not told") };
    assert_eq!(result.unwrap_err().undelivered(), Some(2));
    assert_kind(block_on(AsyncSink::write(&queue, &2)), ErrorKind::Closed);
    assert_stats(&queue, [2, 0, 0, 0, 2, 0]);
    assert_eq!(events(&dead), [0, 1]);
    assert_eq!(script.closes(), 1);
}

#[test]
fn a_worker_dropped_inside_a_write_ends_the_account() {
    let dead = Dead::default();
    let script = Script::new().shut();
    let (queue, worker) =
        Queue::builder().dead_letter(Arc::clone(&dead)).pair(script.clone()).unwrap();
    for event in 0..3 {
        write(&queue, event);
    }
    let mut worker = Box::pin(worker);
    script.pass();
    assert!(poll_once(&mut worker).is_pending());
    assert_eq!(script.delivered(), [0]);
    let mut flush = queue.flush();
    assert!(poll_once(&mut flush).is_pending());
    drop(worker);
    assert!(poll_once(&mut flush).is_ready(), "the flush is not told");
    assert_stats(&queue, [3, 1, 0, 0, 2, 0]);
    assert_eq!(events(&dead), [1, 2]);
    assert_eq!(block_on(queue.close()).unwrap_err().undelivered(), Some(2));
}

#[test]
fn an_idle_worker_that_is_dropped_turns_the_queue_closed() {
    let (queue, worker) = Queue::pair(Script::new());
    let mut worker = Box::pin(worker);
    assert!(poll_once(&mut worker).is_pending());
    drop(worker);
    assert_kind(block_on(AsyncSink::write(&queue, &0)), ErrorKind::Closed);
    assert_kind(block_on(queue.close()), ErrorKind::Closed);
    assert_stats(&queue, [0; 6]);
}

#[test]
fn writers_in_line_are_sent_away_when_the_worker_is_dropped() {
    let (queue, worker) = Queue::builder().capacity(1).pair(Script::new()).unwrap();
    write(&queue, 0);
    let mut waiting = Box::pin(AsyncSink::write(&queue, &1));
    assert!(poll_once(&mut waiting).is_pending());
    drop(worker);
    let Poll::Ready(result) = poll_once(&mut waiting) else { panic!("the writer waits on") };
    assert_kind(result, ErrorKind::Closed);
}

#[test]
fn a_worker_that_never_ran_is_given_up_at_the_deadline() {
    let dead = Dead::default();
    let (queue, worker) =
        Queue::builder().dead_letter(Arc::clone(&dead)).pair(Script::new()).unwrap();
    write(&queue, 0);
    let (queue, result) = in_time(move || {
        let result = queue.close_within(Duration::from_millis(1)).wait();
        (queue, result)
    });
    assert_eq!(result.unwrap_err().undelivered(), Some(1));
    // It has nothing left to do when it does run.
    block_on(worker);
    assert_stats(&queue, [1, 0, 0, 0, 1, 0]);
    assert_eq!(events(&dead), [0]);
}

#[test]
fn the_last_handles_drop_ends_the_worker_once_all_is_delivered() {
    let script = Script::new();
    let (queue, worker) = Queue::pair(script.clone());
    write(&queue, 0);
    write(&queue, 1);
    drop(queue.clone());
    let mut worker = Box::pin(worker);
    // Each poll delivers a run of events and yields.
    assert!(poll_once(&mut worker).is_pending());
    assert!(poll_once(&mut worker).is_pending());
    drop(queue);
    in_time(move || thread::spawn(|| block_on(worker)).join().unwrap());
    assert_eq!(script.delivered(), [0, 1]);
    assert_eq!(script.closes(), 1);
}

#[test]
fn a_write_in_flight_is_dropped_with_a_worker_that_is_taken_over() {
    let script = Script::new().shut();
    let (queue, worker) = Queue::pair(script.clone());
    write(&queue, 0);
    let worker = thread::spawn(|| block_on(worker));
    script.entered();
    let queue = in_time(move || {
        queue.close_within(Duration::from_millis(1)).wait().unwrap_err();
        queue
    });
    // The worker is a future, so it ends though the sink never answers.
    in_time(|| worker.join().unwrap());
    assert!(script.delivered().is_empty());
    assert_stats(&queue, [1, 0, 0, 0, 1, 0]);
}
