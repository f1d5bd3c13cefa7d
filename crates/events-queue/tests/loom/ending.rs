//! However it ends, every event is accounted for and all hear the same.

use std::sync::Arc;

use events_core::{Close, ErrorKind, Sink, SinkError, engine::park::block_on};
use events_queue::Queue;
use loom::thread;

use crate::support::{Model, Seen, assert_settled, check};

fn kind(result: Result<(), SinkError>) -> Option<(ErrorKind, Option<u64>)> {
    result.err().map(|error| (error.kind(), error.undelivered()))
}

/// The events that `write` took.
fn write(queue: &Queue<u64>, event: u64) -> Vec<u64> {
    match queue.write(&event) {
        Ok(()) => vec![event],
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Closed);
            Vec::new()
        }
    }
}

#[test]
fn writers_and_closers_meet() {
    check(2, || {
        let Model { queue, sink, worker, .. } = Model::new(|builder| builder);
        let other = queue.clone();
        let second = thread::spawn(move || write(&other, 2));
        let other = queue.clone();
        let closer = thread::spawn(move || kind(other.close().wait()));
        let mut taken = write(&queue, 1);
        assert_eq!(kind(queue.close().wait()), None);
        assert_eq!(closer.join().unwrap(), None);
        assert_eq!(sink.times_closed(), 1);
        taken.extend(second.join().unwrap());
        let mut events = sink.events();
        events.sort_unstable();
        assert_eq!(events, taken);
        assert_eq!(queue.stats().delivered, taken.len() as u64);
        assert_settled(queue.stats());
        assert_eq!(queue.write(&3).unwrap_err().kind(), ErrorKind::Closed);
        worker.join().unwrap();
    });
}

#[test]
fn an_abort_meets_the_delivery() {
    check(2, || {
        let Model { queue, sink, dead, worker } = Model::new(|builder| builder);
        queue.write(&1).unwrap();
        queue.write(&2).unwrap();
        let other = queue.clone();
        let aborter = thread::spawn(move || {
            other.abort();
            kind(other.close().wait())
        });
        let result = kind(queue.close().wait());
        assert_eq!(aborter.join().unwrap(), result);
        worker.join().unwrap();
        assert_eq!([sink.events(), dead.events()].concat(), [1, 2]);
        let undelivered = dead.events().len() as u64;
        assert_eq!(queue.stats().dropped.abandoned, undelivered);
        assert_settled(queue.stats());
        let expected = (undelivered > 0).then_some((ErrorKind::Undelivered, Some(undelivered)));
        assert_eq!(result, expected);
    });
}

#[test]
fn the_last_handle_closes() {
    check(3, || {
        let Model { queue, sink, worker, .. } = Model::new(|builder| builder);
        let other = queue.clone();
        let second = thread::spawn(move || other.write(&2).unwrap());
        queue.write(&1).unwrap();
        drop(queue);
        second.join().unwrap();
        worker.join().unwrap();
        assert_eq!(sink.events().len(), 2);
        assert_eq!(sink.times_closed(), 1);
    });
}

#[test]
fn a_worker_goes_away_while_one_writes_and_one_closes() {
    check(2, || {
        let dead = Arc::new(Seen::default());
        let builder = Queue::builder().dead_letter(Arc::clone(&dead));
        let (queue, worker) = builder.pair(Arc::new(Seen::default())).unwrap();
        let other = queue.clone();
        let dropper = thread::spawn(move || drop(worker));
        let closer = thread::spawn(move || kind(other.close().wait()));
        let taken = write(&queue, 1);
        let result = kind(block_on(queue.close()));
        assert_eq!(result, closer.join().unwrap());
        dropper.join().unwrap();
        let expected = match taken.len() {
            0 => (ErrorKind::Closed, None),
            lost => (ErrorKind::Undelivered, Some(lost as u64)),
        };
        assert_eq!(result, Some(expected));
        assert_eq!(dead.events(), taken);
        assert_settled(queue.stats());
    });
}
