//! Batches in which single events are at fault.

use std::{sync::Arc, time::Duration};

use events_core::{Bisect, Close, DeadLetter, ErrorKind, Memory, Sink, SinkError, sink_fn};
use events_queue::Queue;

#[test]
fn of_a_batch_only_the_events_at_fault_fail() {
    let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
    let odd = sink_fn(|batch: &[u32]| {
        let odd = batch.iter().any(|event| event % 2 == 1);
        if odd { Err(SinkError::rejected("odd")) } else { Ok(()) }
    });
    let queue = Queue::builder()
        .dead_letter(Arc::clone(&letters))
        .batch(8, Duration::from_hours(1))
        .spawn(Bisect::new(odd))
        .unwrap();
    for event in [0, 1, 2, 4, 6, 8, 3, 10, 12, 14] {
        Sink::write(&queue, &event).unwrap();
    }
    queue.close().wait().unwrap();
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed), (10, 8, 2));
    let letters = letters.events();
    assert_eq!(letters.iter().map(|letter| letter.event).collect::<Vec<_>>(), [1, 3]);
    assert!(letters.iter().all(|letter| letter.error.kind() == ErrorKind::Rejected));
}

#[test]
fn a_destination_that_goes_amid_a_batch_ends_the_queue_and_keeps_the_account() {
    let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
    let gone = sink_fn(|batch: &[u32]| match batch {
        [0 | 1, ..] if batch.len() < 4 => Ok(()),
        [2, ..] => Err(SinkError::closed()),
        _ => Err(SinkError::rejected("too large")),
    });
    let queue = Queue::builder()
        .dead_letter(Arc::clone(&letters))
        .batch(4, Duration::from_hours(1))
        .spawn(Bisect::new(gone))
        .unwrap();
    for event in 0..4 {
        Sink::write(&queue, &event).unwrap();
    }
    assert_eq!(queue.close().wait().unwrap_err().kind(), ErrorKind::Closed);
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed), (4, 2, 2));
    assert_eq!(letters.events().iter().map(|letter| letter.event).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_list_of_failures_that_cannot_be_true_fails_the_batch() {
    let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
    let liar =
        sink_fn(|_: &[u32]| Err(SinkError::of_batch(vec![(7, SinkError::rejected("?"))]).unwrap()));
    let queue = Queue::builder()
        .dead_letter(Arc::clone(&letters))
        .batch(3, Duration::from_hours(1))
        .spawn(liar)
        .unwrap();
    for event in 0..3 {
        Sink::write(&queue, &event).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!((queue.stats().delivered, queue.stats().failed), (0, 3));
    // The sink's own error, not that of a panic over its list.
    assert!(letters.events().iter().all(|letter| letter.error.failures().len() == 1));
}
