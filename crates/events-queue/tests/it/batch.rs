//! Batches: cut by count, held back by a linger, failed as one.

use std::{sync::Arc, time::Duration};

use events_core::{Close, ErrorKind, Memory, Sink, SinkError};
use events_queue::{DeadLetter, Queue};

use crate::support::{Script, assert_stats, assert_undelivered, in_time};

const LONG: Duration = Duration::from_hours(1);

#[test]
fn a_full_batch_goes_without_lingering_and_the_close_takes_the_rest() {
    let memory = Arc::new(Memory::<[u64]>::new());
    let queue = Queue::builder().batch(4, LONG).spawn(Arc::clone(&memory)).unwrap();
    for event in 0..10 {
        queue.write(&event).unwrap();
    }
    let queue = in_time(move || {
        queue.close().wait().unwrap();
        queue
    });
    assert_eq!(memory.events(), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
    assert_stats(&queue, [10, 10, 0, 0, 0, 0]);
}

#[test]
fn a_flush_does_not_wait_for_the_linger() {
    let memory = Arc::new(Memory::<[u64]>::new());
    let queue = Queue::builder().batch(4, LONG).spawn(Arc::clone(&memory)).unwrap();
    queue.write(&0).unwrap();
    let queue = in_time(move || {
        queue.flush().wait().unwrap();
        queue
    });
    assert_eq!(memory.take(), [[0]]);
    queue.write(&1).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(memory.take(), [[1]]);
}

#[test]
fn without_a_linger_a_batch_is_what_has_come_meanwhile() {
    let script = Script::new().shut();
    let queue = Queue::builder().batch(4, Duration::ZERO).spawn(script.clone()).unwrap();
    queue.write(&0).unwrap();
    assert_eq!(script.entered(), 0);
    for event in 1..=6 {
        queue.write(&event).unwrap();
    }
    script.open();
    queue.close().wait().unwrap();
    assert_eq!([script.entered(), script.entered()], [1, 5]);
    assert_eq!(script.delivered(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_batch_never_waits_for_more_than_the_queue_holds() {
    let memory = Arc::new(Memory::<[u64]>::new());
    let queue = Queue::builder().capacity(2).batch(100, LONG).spawn(Arc::clone(&memory)).unwrap();
    let queue = in_time(move || {
        for event in 0..4 {
            queue.write(&event).unwrap();
        }
        queue
    });
    queue.close().wait().unwrap();
    assert_eq!(memory.events().concat(), [0, 1, 2, 3]);
}

#[test]
fn a_batch_fails_as_one_and_the_next_goes_on() {
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let script =
        Script::answering(
            |first| {
                if first == 0 { Err(SinkError::rejected("malformed")) } else { Ok(()) }
            },
        );
    let queue = Queue::builder()
        .batch(3, LONG)
        .dead_letter(Arc::clone(&dead))
        .spawn(script.clone())
        .unwrap();
    for event in 0..6 {
        queue.write(&event).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [3, 4, 5]);
    assert_stats(&queue, [6, 3, 3, 0, 0, 0]);
    let letters = dead.take();
    assert_eq!(letters.iter().map(|letter| letter.event).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(letters.iter().all(|letter| letter.error.kind() == ErrorKind::Rejected));
}

#[test]
fn a_panic_fails_its_batch_alone() {
    let script = Script::answering(|first| {
        assert_ne!(first, 0, "a panic on purpose");
        Ok(())
    });
    let queue = Queue::builder().batch(3, LONG).spawn(script.clone()).unwrap();
    for event in 0..6 {
        queue.write(&event).unwrap();
    }
    assert_undelivered(queue.close().wait(), 3);
    assert_eq!(script.delivered(), [3, 4, 5]);
    assert_stats(&queue, [6, 3, 3, 0, 0, 0]);
}
