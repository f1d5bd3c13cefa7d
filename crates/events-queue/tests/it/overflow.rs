//! What a full queue does, for each policy.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use events_core::{AsyncSink, Close, ErrorKind, Memory, Sink};
use events_queue::{Builder, Overflow, Queue, Single};

use crate::support::{
    HANG, Script, assert_balanced, assert_kind, assert_stats, in_time, poll_once,
};

fn bounded(capacity: usize, overflow: Overflow) -> Builder<u64, Single> {
    Queue::builder().capacity(capacity).overflow(overflow)
}

/// A queue with `capacity` whose sink holds event 0 and waits.
fn held(capacity: usize, overflow: Overflow) -> (Queue<u64>, Script) {
    let script = Script::new().shut();
    let queue = bounded(capacity, overflow).spawn(script.clone()).unwrap();
    Sink::write(&queue, &0).unwrap();
    assert_eq!(script.entered(), 0);
    (queue, script)
}

#[test]
fn seed_10_a_queue_has_a_capacity_a_length_and_figures() {
    let (queue, script) = held(3, Overflow::Reject);
    Sink::write(&queue, &1).unwrap();
    Sink::write(&queue, &2).unwrap();
    assert_kind(Sink::write(&queue, &3), ErrorKind::Full);
    assert_stats(&queue, [3, 0, 0, 0, 0, 3]);
    assert!(queue.stats().oldest.is_some());
    script.open();
    queue.flush().wait().unwrap();
    assert_stats(&queue, [3, 3, 0, 0, 0, 0]);
    assert_eq!(queue.stats().oldest, None);
    Sink::write(&queue, &4).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 1, 2, 4]);
}

#[test]
fn drop_oldest_keeps_what_is_in_the_sinks_hands_and_the_newest() {
    let (queue, script) = held(2, Overflow::DropOldest);
    for event in 1..=9 {
        Sink::write(&queue, &event).unwrap();
    }
    assert_stats(&queue, [10, 0, 0, 7, 0, 3]);
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 8, 9]);
    assert_stats(&queue, [10, 3, 0, 7, 0, 0]);
}

#[test]
fn drop_newest_keeps_the_oldest() {
    let (queue, script) = held(3, Overflow::DropNewest);
    for event in 1..=9 {
        Sink::write(&queue, &event).unwrap();
    }
    assert_stats(&queue, [10, 0, 0, 7, 0, 3]);
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 1, 2]);
    assert_stats(&queue, [10, 3, 0, 7, 0, 0]);
}

#[test]
fn blocked_writers_come_first_served() {
    let (queue, script) = held(1, Overflow::Block);
    let writes: Vec<_> = (1..=3).collect();
    let mut waiting: Vec<_> =
        writes.iter().map(|event| Box::pin(AsyncSink::write(&queue, event))).collect();
    for write in &mut waiting {
        assert!(poll_once(write).is_pending());
    }
    for expected in 1..=3 {
        script.pass();
        assert_eq!(script.entered(), expected);
        let first = &mut waiting[0];
        assert!(matches!(poll_once(first), Poll::Ready(Ok(()))));
        drop(waiting.remove(0));
        assert!(waiting.iter_mut().all(|write| poll_once(write).is_pending()));
    }
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 1, 2, 3]);
}

#[test]
fn a_cancelled_write_is_not_in_the_queue_and_the_next_gets_its_turn() {
    let (queue, script) = held(1, Overflow::Block);
    let mut first = Box::pin(AsyncSink::write(&queue, &1));
    let mut second = Box::pin(AsyncSink::write(&queue, &2));
    assert!(poll_once(&mut first).is_pending());
    assert!(poll_once(&mut second).is_pending());
    drop(first);
    script.pass();
    assert_eq!(script.entered(), 2);
    assert!(matches!(poll_once(&mut second), Poll::Ready(Ok(()))));
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0, 2]);
    assert_stats(&queue, [2, 2, 0, 0, 0, 0]);
}

#[test]
fn a_limited_wait_ends_full_and_leaves_the_queue_as_it_was() {
    let (queue, script) = held(1, Overflow::BlockFor(Duration::from_millis(2)));
    assert_kind(Sink::write(&queue, &1), ErrorKind::Full);
    assert_stats(&queue, [1, 0, 0, 0, 0, 1]);
    script.open();
    queue.close().wait().unwrap();
    assert_eq!(script.delivered(), [0]);
}

#[test]
fn seed_06_writers_that_wait_for_room_get_closed_at_once() {
    let (queue, script) = held(1, Overflow::Block);
    let mut task = Box::pin(AsyncSink::write(&queue, &1));
    assert!(poll_once(&mut task).is_pending());
    let writer = {
        let queue = queue.clone();
        thread::spawn(move || Sink::write(&queue, &2))
    };
    // The sink still holds the destination's write, so the close cannot have ended.
    let closing = queue.close();
    assert_kind(in_time(|| writer.join().unwrap()), ErrorKind::Closed);
    let Poll::Ready(result) = poll_once(&mut task) else { panic!("the task waits on") };
    assert_kind(result, ErrorKind::Closed);
    assert_kind(Sink::write(&queue, &3), ErrorKind::Closed);
    assert_eq!(queue.stats().pending, 1);
    script.open();
    closing.wait().unwrap();
    assert_eq!(script.delivered(), [0]);
}

/// Several writers at once; somebody looks at the figures all the while.
fn flood(overflow: Overflow, check: impl Fn(&Queue<u64>, u64, &[u64])) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 3_000;
    let memory = Arc::new(Memory::new());
    let queue = bounded(8, overflow).spawn(Arc::clone(&memory)).unwrap();
    let done = AtomicBool::new(false);
    let start = Barrier::new(WRITERS as usize);
    let accepted = thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut before = 0;
            while !done.load(Ordering::SeqCst) {
                let stats = queue.stats();
                assert_balanced(&stats);
                assert!(stats.accepted >= before, "{stats:?} after {before} accepted");
                before = stats.accepted;
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (queue, start) = (&queue, &start);
                scope.spawn(move || {
                    start.wait();
                    let mut accepted = Vec::new();
                    for number in writer * EACH..(writer + 1) * EACH {
                        match Sink::write(queue, &number) {
                            Ok(()) => accepted.push(number),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::Full),
                        }
                    }
                    accepted
                })
            })
            .collect();
        let accepted: Vec<u64> =
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        done.store(true, Ordering::SeqCst);
        looker.join().unwrap();
        accepted
    });
    queue.close().wait().unwrap();
    let stats = queue.stats();
    assert_balanced(&stats);
    assert_eq!(stats.pending, 0);
    assert_eq!(stats.accepted, accepted.len() as u64);
    let delivered = memory.take();
    assert_eq!(stats.delivered, delivered.len() as u64);
    for writer in 0..WRITERS {
        let of_writer = delivered.iter().filter(|number| **number / EACH == writer);
        assert!(of_writer.is_sorted_by(|a, b| a < b), "the order of one writer is kept");
    }
    let mut sorted = delivered;
    sorted.sort_unstable();
    if stats.dropped.overflow == 0 {
        assert_eq!(sorted, accepted);
    } else {
        assert!(sorted.iter().all(|number| accepted.binary_search(number).is_ok()));
    }
    check(&queue, WRITERS * EACH, &sorted);
}

#[test]
fn under_several_writers_block_delivers_all() {
    flood(Overflow::Block, |_, written, delivered| assert_eq!(delivered.len() as u64, written));
}

#[test]
fn under_several_writers_a_limited_wait_says_full_only_to_what_is_left_out() {
    // Short enough to end again and again while the worker is making room.
    flood(Overflow::BlockFor(Duration::from_nanos(200)), |queue, _, _| {
        assert_eq!(queue.stats().dropped.total(), 0);
    });
}

#[test]
fn under_several_writers_reject_delivers_what_it_accepted() {
    flood(Overflow::Reject, |queue, _, _| assert_eq!(queue.stats().dropped.total(), 0));
}

#[test]
fn under_several_writers_what_is_dropped_is_counted() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        flood(overflow, |queue, written, _| assert_eq!(queue.stats().accepted, written));
    }
}

#[test]
fn a_wait_for_room_from_inside_the_sink_is_refused() {
    let (give, given) = std::sync::mpsc::channel::<Queue<u64>>();
    let (tell, told) = std::sync::mpsc::channel();
    let given = parking_lot::Mutex::new(Some(given));
    let sink = Script::answering(move |_| {
        if let Some(given) = given.lock().take() {
            let queue = given.recv_timeout(HANG).unwrap();
            tell.send(Sink::write(&queue, &7)).unwrap();
        }
        Ok(())
    });
    let queue = bounded(1, Overflow::Block).spawn(sink.clone()).unwrap();
    Sink::write(&queue, &0).unwrap();
    give.send(queue.clone()).unwrap();
    assert_kind(told.recv_timeout(HANG).unwrap(), ErrorKind::WouldDeadlock);
    queue.close().wait().unwrap();
    assert_eq!(sink.delivered(), [0]);
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let builder = Queue::<u64>::builder;
    let refused = [
        builder().capacity(0).spawn(Script::new()).map(drop),
        builder().overflow(Overflow::Reject).spawn(Script::new()).map(drop),
        builder()
            .capacity(1)
            .overflow(Overflow::BlockFor(Duration::ZERO))
            .spawn(Script::new())
            .map(drop),
        builder().batch(0, Duration::ZERO).spawn(Script::new()).map(drop),
        builder().batch(1, Duration::MAX).spawn(Script::new()).map(drop),
        builder().name("a\0b").spawn(Script::new()).map(drop),
    ];
    let settings = refused.map(|result| result.unwrap_err().setting());
    assert_eq!(settings, ["capacity", "overflow", "overflow", "batch", "batch", "name"]);
}
