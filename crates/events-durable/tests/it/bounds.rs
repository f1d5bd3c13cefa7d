use std::{sync::mpsc, thread, time::Duration};

use events_core::{Close, ErrorKind, Sink, engine::park::block_on};
use events_durable::{DurableQueue, Overflow, Spool};

use crate::support::{Held, Holder, Kept, Place, held, place, queue};

fn full(place: &Place, overflow: Overflow) -> (DurableQueue<u64>, Holder) {
    let (sink, holder): (Held, Holder) = held();
    let queue = DurableQueue::builder(&place.path).capacity(3).overflow(overflow);
    let queue = queue.spawn(sink).unwrap();
    queue.write(&0).unwrap();
    assert_eq!(holder.given.recv().unwrap(), 0);
    queue.write(&1).unwrap();
    queue.write(&2).unwrap();
    (queue, holder)
}

/// Lets all go, and says what arrived.
fn drain(queue: &DurableQueue<u64>, holder: &Holder, count: usize) -> Vec<u64> {
    for _ in 0..count {
        holder.answer.send(Ok(())).unwrap();
    }
    queue.close().wait().unwrap();
    holder.given.try_iter().collect()
}

#[test]
fn reject_says_full_and_takes_the_next_when_there_is_room() {
    let place = place();
    let (queue, holder) = full(&place, Overflow::Reject);
    assert_eq!(queue.write(&3).unwrap_err().kind(), ErrorKind::Full);
    holder.answer.send(Ok(())).unwrap();
    assert_eq!(holder.given.recv().unwrap(), 1);
    queue.write(&4).unwrap();
    assert_eq!(queue.write(&5).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(drain(&queue, &holder, 3), [2, 4]);
    assert_eq!(queue.stats().accepted, 4);
}

#[test]
fn drop_newest_takes_it_and_counts_it() {
    let place = place();
    let (queue, holder) = full(&place, Overflow::DropNewest);
    queue.write(&3).unwrap();
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.dropped.overflow, stats.pending), (4, 1, 3));
    assert_eq!(drain(&queue, &holder, 3), [1, 2]);
}

#[test]
fn drop_oldest_drops_what_waits_and_not_what_is_being_delivered() {
    let place = place();
    let (queue, holder) = full(&place, Overflow::DropOldest);
    for number in 3..7 {
        queue.write(&number).unwrap();
    }
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.dropped.overflow, stats.pending), (7, 4, 3));
    assert_eq!(Spool::open(&place.path).unwrap().stats().unwrap().pending, 3);
    assert_eq!(drain(&queue, &holder, 3), [5, 6]);
    let stats = queue.stats();
    assert_eq!((stats.delivered, stats.pending), (3, 0));
}

#[test]
fn drop_oldest_reaches_what_is_not_in_memory() {
    let place = place();
    let (sink, holder) = held();
    let first = queue(&place, sink);
    for number in 0..3_000 {
        first.write(&number).unwrap();
    }
    holder.given.recv().unwrap();
    first.abort();
    first.close().wait().unwrap_err();
    let (sink, holder) = held();
    let queue = DurableQueue::builder(&place.path).capacity(10).overflow(Overflow::DropOldest);
    let queue = queue.spawn(sink).unwrap();
    assert_eq!(holder.given.recv().unwrap(), 0);
    queue.write(&3_000).unwrap();
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.dropped.overflow, stats.pending), (3_001, 2_991, 10));
    assert_eq!(drain(&queue, &holder, 10), (2_992..=3_000).collect::<Vec<_>>());
}

#[test]
fn block_waits_for_room_first_come_first_served() {
    let place = place();
    let (queue, holder) = full(&place, Overflow::Block);
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let mut writers = Vec::new();
        for number in 3..6 {
            let (queue, tell) = (&queue, tell.clone());
            writers.push(scope.spawn(move || {
                let mut write = std::pin::pin!(events_core::AsyncSink::write(queue, &number));
                let mut first = true;
                block_on(std::future::poll_fn(|cx| {
                    let poll = write.as_mut().poll(cx);
                    if std::mem::take(&mut first) {
                        assert!(poll.is_pending());
                        tell.send(()).unwrap();
                    }
                    poll
                }))
            }));
            // It stands in line before the next comes.
            told.recv().unwrap();
        }
        for _ in 0..6 {
            holder.answer.send(Ok(())).unwrap();
        }
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
    });
    assert_eq!(drain(&queue, &holder, 0), [1, 2, 3, 4, 5]);
}

#[test]
fn a_blocked_writer_gives_up_in_time_or_is_sent_away_by_the_close() {
    let place = place();
    let (queue, holder) = full(&place, Overflow::BlockFor(Duration::from_millis(1)));
    assert_eq!(queue.write(&3).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(drain(&queue, &holder, 3), [1, 2]);

    let place = crate::support::place();
    let (queue, holder) = full(&place, Overflow::Block);
    let mut write = Box::pin(events_core::AsyncSink::write(&queue, &3));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(write.as_mut().poll(&mut cx).is_pending());
    drop(queue.close());
    assert_eq!(block_on(write).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(drain(&queue, &holder, 3), [1, 2]);
}

#[test]
fn a_write_that_is_dropped_in_line_is_taken_back() {
    let place = place();
    let (queue, holder) = full(&place, Overflow::Block);
    let mut write = Box::pin(events_core::AsyncSink::write(&queue, &3));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(write.as_mut().poll(&mut cx).is_pending());
    drop(write);
    assert_eq!(drain(&queue, &holder, 3), [1, 2]);
    assert_eq!(queue.stats().accepted, 3);
}

const SIZE: u64 = 256 * 1024;

/// Writes kilobytes until one is refused or dropped; how many were accepted.
fn fill(queue: &DurableQueue<String>) -> u64 {
    let event = "x".repeat(1_000);
    for count in 0..2_000 {
        let dropped = queue.stats().dropped.overflow;
        if queue.write(&event).is_err() || dropped > 0 {
            return count;
        }
    }
    panic!("the queue is never full");
}

#[test]
fn the_file_stays_within_its_size() {
    for overflow in [Overflow::Reject, Overflow::DropNewest, Overflow::DropOldest] {
        let place = place();
        let queue = DurableQueue::builder(&place.path).max_size(SIZE).overflow(overflow);
        // Nobody delivers.
        let (queue, worker) = queue.pair(events_core::Discard::new()).unwrap();
        let count = fill(&queue);
        assert!((150..260).contains(&count), "{overflow:?}: {count}");
        for _ in 0..200 {
            drop(Sink::write(&queue, &"x".repeat(1_000)));
        }
        let used = queue.spool().unwrap().stats().unwrap().used_bytes;
        assert!(used <= SIZE + 8_192, "{overflow:?}: {used}");
        let large = Sink::write(&queue, &"x".repeat(SIZE as usize));
        assert_eq!(large.unwrap_err().kind(), ErrorKind::Rejected);
        drop(worker);
        drop(queue.close().wait());
    }
}

#[test]
fn a_full_file_takes_more_once_it_was_drained() {
    let place = place();
    let queue = DurableQueue::builder(&place.path).max_size(SIZE).overflow(Overflow::Block);
    let queue = queue.spawn(events_core::Discard::new()).unwrap();
    // Each waits for room where it must; the file is filled several times over.
    for _ in 0..1_000 {
        queue.write(&"x".repeat(1_000)).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().delivered, 1_000);
    assert!(place.path.metadata().unwrap().len() <= SIZE + 8_192);
}

#[test]
fn a_setting_that_makes_no_sense_is_refused_before_anything_is_created() {
    let place = place();
    let builder = || DurableQueue::<u64>::builder(&place.path);
    let errors = [
        builder().capacity(0).spawn(Kept::default()).unwrap_err(),
        builder().max_size(1).spawn(Kept::default()).unwrap_err(),
        builder().overflow(Overflow::Reject).spawn(Kept::default()).unwrap_err(),
        builder()
            .capacity(1)
            .overflow(Overflow::BlockFor(Duration::ZERO))
            .spawn(Kept::default())
            .unwrap_err(),
        builder().batch(0, Duration::ZERO).spawn(Kept::default()).unwrap_err(),
        builder().batch(1, Duration::MAX).spawn(Kept::default()).unwrap_err(),
        builder().name("a\0b").spawn(Kept::default()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), events_durable::OpenErrorKind::Setting, "{error:?}");
    }
    assert!(!place.path.exists());
}
