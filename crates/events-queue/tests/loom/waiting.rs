//! Who waits for the worker is woken.

use events_core::{Close, ErrorKind, Sink};
use events_queue::Overflow;
use loom::thread;

use crate::support::{Model, assert_settled, check};

#[test]
fn a_flush_ends_once_what_was_written_before_is_settled() {
    check(2, || {
        let Model { queue, sink, worker, .. } = Model::new(|builder| builder);
        let other = queue.clone();
        queue.write(&1).unwrap();
        let second = thread::spawn(move || other.write(&2).unwrap());
        queue.flush().wait().unwrap();
        assert!(sink.events().contains(&1));
        second.join().unwrap();
        queue.flush().wait().unwrap();
        assert_eq!(sink.events(), [1, 2]);
        drop(queue);
        worker.join().unwrap();
    });
}

#[test]
fn writers_wait_for_room_and_get_it() {
    check(2, || {
        let Model { queue, sink, worker, .. } = Model::new(|builder| builder.capacity(1));
        let other = queue.clone();
        let second = thread::spawn(move || other.write(&2).unwrap());
        queue.write(&1).unwrap();
        second.join().unwrap();
        queue.close().wait().unwrap();
        worker.join().unwrap();
        assert_eq!(sink.events().len(), 2);
        assert_settled(queue.stats());
    });
}

#[test]
fn a_writer_that_waits_for_room_hears_of_an_abort() {
    check(2, || {
        let Model { queue, sink, dead, worker } = Model::new(|builder| builder.capacity(1));
        queue.write(&1).unwrap();
        let other = queue.clone();
        let aborter = thread::spawn(move || other.abort());
        let result = queue.write(&2);
        aborter.join().unwrap();
        worker.join().unwrap();
        if let Err(error) = &result {
            assert_eq!(error.kind(), ErrorKind::Closed);
        }
        let taken = 1 + usize::from(result.is_ok());
        assert_eq!([sink.events(), dead.events()].concat(), [1, 2][..taken]);
        assert_settled(queue.stats());
    });
}

#[test]
fn the_oldest_goes_for_the_newest() {
    check(2, || {
        let Model { queue, sink, worker, .. } =
            Model::new(|builder| builder.capacity(1).overflow(Overflow::DropOldest));
        for event in 0..3 {
            queue.write(&event).unwrap();
        }
        queue.close().wait().unwrap();
        worker.join().unwrap();
        let stats = queue.stats();
        assert_settled(stats);
        assert_eq!(stats.delivered, sink.events().len() as u64);
        assert_eq!(stats.delivered + stats.dropped.overflow, 3);
        assert_eq!(sink.events().last(), Some(&2));
    });
}
