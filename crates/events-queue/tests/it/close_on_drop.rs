//! The guard that closes a queue.

use std::time::Duration;

use events_core::{Close, ErrorKind, Sink};
use events_queue::Queue;

use crate::support::{HANG, Script, assert_kind, assert_stats, in_time};

#[test]
fn all_arrive_before_it_is_gone() {
    let script = Script::new();
    let queue = Queue::spawn(script.clone());
    let watched = queue.clone();
    in_time(move || {
        let _guard = queue.close_on_drop(HANG);
        (0..100).for_each(|event| queue.write(&event).unwrap());
    });
    assert_stats(&watched, [100, 100, 0, 0, 0, 0]);
    assert_eq!(script.closes(), 1);
    assert_kind(watched.write(&0), ErrorKind::Closed);
}

#[test]
fn it_gives_up_at_its_deadline_and_tells_that_if_asked() {
    let queue = Queue::spawn(Script::new().shut());
    queue.write(&0).unwrap();
    let guard = queue.close_on_drop(Duration::from_millis(1));
    let error = in_time(move || guard.close().unwrap_err());
    assert_eq!(error.undelivered(), Some(1));
    in_time(move || drop(queue.close_on_drop(Duration::from_millis(1))));
}

#[test]
fn it_closes_where_its_scope_panics() {
    let script = Script::new();
    let queue = Queue::spawn(script.clone());
    let panicked = std::thread::spawn(move || {
        let _guard = queue.close_on_drop(HANG);
        queue.write(&0).unwrap();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert_eq!((script.delivered(), script.closes()), (vec![0], 1));
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn in_a_task_it_does_not_wait_for_another_and_the_close_goes_on() {
    let script = Script::new();
    let queue = Queue::spawn_tokio(script.clone());
    events_core::AsyncSink::write(&queue, &0).await.unwrap();
    drop(queue.close_on_drop(HANG));
    assert_eq!(script.closes(), 0, "nobody can have delivered meanwhile");
    assert_kind(events_core::AsyncSink::write(&queue, &1).await, ErrorKind::Closed);
    queue.close().await.unwrap();
    assert_eq!((script.delivered(), script.closes()), (vec![0], 1));
}
