//! What an `Ok` of a close promises: every event delivered, with the dead letter, or dropped by choice.

use std::{error::Error, sync::Arc};

use events_core::{Close, ErrorKind, Memory, Sink, SinkError, sink_fn};
use events_queue::{DeadLetter, Overflow, Queue, Schedule};

use crate::support::{Script, assert_stats};

fn rejects_all() -> Script {
    Script::answering(|_| Err(SinkError::rejected("status 400")))
}

fn undelivered(queue: &Queue<u64>) -> u64 {
    let error = queue.close().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Undelivered);
    assert_eq!(queue.close().wait().unwrap_err().undelivered(), error.undelivered());
    error.undelivered().unwrap()
}

fn write_three(queue: &Queue<u64>) {
    (0..3).for_each(|event| queue.write(&event).unwrap());
}

#[test]
fn a_close_after_three_of_three_were_rejected_is_not_ok() {
    let queue = Queue::spawn(rejects_all());
    write_three(&queue);
    queue.flush().wait().unwrap();
    let error = queue.close().wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(3)));
    let first = error.source().unwrap();
    assert_eq!(first.to_string(), "the event was rejected");
    assert_eq!(first.source().unwrap().to_string(), "status 400");
    assert_stats(&queue, [3, 0, 3, 0, 0, 0]);
}

#[test]
fn what_a_dead_letter_has_taken_is_not_lost() {
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let queue = Queue::builder().dead_letter(Arc::clone(&dead)).spawn(rejects_all()).unwrap();
    write_three(&queue);
    queue.close().wait().unwrap();
    assert_eq!(dead.events().len(), 3);
}

#[test]
fn what_a_dead_letter_refuses_or_panics_over_is_lost() {
    let fussy = sink_fn(|letter: &DeadLetter<u64>| match letter.event {
        0 => Ok(()),
        1 => Err(SinkError::full()),
        _ => panic!("on purpose"),
    });
    let queue = Queue::builder().dead_letter(fussy).spawn(rejects_all()).unwrap();
    write_three(&queue);
    assert_eq!(undelivered(&queue), 2);
}

#[test]
fn what_a_policy_drops_is_dropped_by_choice() {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        let script = Script::new().shut();
        let queue = Queue::builder().capacity(1).overflow(overflow);
        let queue = queue.spawn(script.clone()).unwrap();
        queue.write(&0).unwrap();
        script.entered();
        (1..4).for_each(|event| queue.write(&event).unwrap());
        script.open();
        queue.close().wait().unwrap();
        assert!(queue.stats().dropped.overflow > 0);
    }
}

#[test]
fn a_panic_and_the_failures_of_a_batch_are_counted_one_by_one() {
    let queue = Queue::spawn(sink_fn(|event: &u64| match event {
        1 => panic!("on purpose"),
        _ => Ok(()),
    }));
    write_three(&queue);
    assert_eq!(undelivered(&queue), 1);

    let some = sink_fn(|events: &[u64]| {
        let odd = events.iter().enumerate().filter(|(_, event)| *event % 2 == 1);
        let odd = odd.map(|(at, _)| (at, SinkError::rejected("odd"))).collect();
        SinkError::of_batch(odd).map_or(Ok(()), Err)
    });
    let queue = Queue::builder().batch(10, std::time::Duration::ZERO).spawn(some).unwrap();
    (0..9).for_each(|event| queue.write(&event).unwrap());
    assert_eq!(undelivered(&queue), 4);
}

#[test]
fn with_several_deliveries_at_a_time_it_promises_the_same() {
    let build = || {
        let schedule = Schedule::delays([std::time::Duration::from_millis(1)]);
        Queue::builder().concurrency(3).redeliver(schedule)
    };
    let fails = || {
        Script::answering(|event| match event {
            0 => Ok(()),
            1 => Err(SinkError::unavailable("down")),
            _ => Err(SinkError::rejected("status 400")),
        })
    };
    let queue = build().spawn(fails()).unwrap();
    write_three(&queue);
    assert_eq!(undelivered(&queue), 2);
    let dead = Arc::new(Memory::<DeadLetter<u64>>::new());
    let queue = build().dead_letter(dead).spawn(fails()).unwrap();
    write_three(&queue);
    queue.close().wait().unwrap();
}

#[test]
fn what_is_behind_a_destination_that_closed_is_lost_with_it() {
    let script = Script::answering(|_| Err(SinkError::closed())).shut();
    let queue = Queue::spawn(script.clone());
    write_three(&queue);
    script.entered();
    script.open();
    let error = queue.close().wait().unwrap_err();
    let kinds: Vec<_> = error.errors().iter().map(SinkError::kind).collect();
    assert_eq!(kinds, [ErrorKind::Undelivered, ErrorKind::Closed]);
    assert_eq!(error.undelivered(), Some(3));
}

#[test]
fn a_queue_tells_what_the_queue_behind_it_has_lost() {
    let inner = Queue::spawn(rejects_all());
    let outer = Queue::spawn(inner);
    write_three(&outer);
    assert_eq!(undelivered(&outer), 3);
    assert_stats(&outer, [3, 3, 0, 0, 0, 0]);
}
