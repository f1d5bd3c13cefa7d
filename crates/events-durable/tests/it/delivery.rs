use std::{
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

use events_core::{Close, ErrorKind, Memory, Sink, SinkError, sink_fn};
use events_durable::{Durability, DurableQueue, EventId, Plain, Spool, Stored};

use crate::support::{Kept, held, place, queue};

#[test]
fn everything_arrives_in_order_with_ids_of_its_own() {
    let place = place();
    let kept = Kept::default();
    let queue = queue(&place, kept.clone());
    for number in 0..3_000 {
        queue.write(&number).unwrap();
    }
    queue.close().wait().unwrap();
    assert_eq!(kept.numbers(), (0..3_000).collect::<Vec<_>>());
    let mut ids = kept.ids();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3_000);
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.pending), (3_000, 3_000, 0));
    assert_eq!(queue.write(&0).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn writers_share_commits_and_each_keeps_its_order() {
    const WRITERS: u64 = 16;
    const EACH: u64 = 100;
    let place = place();
    let kept = Kept::default();
    let queue = queue(&place, kept.clone());
    let start = Barrier::new(WRITERS as usize);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (queue, start) = (&queue, &start);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    queue.write(&(writer * EACH + number)).unwrap();
                }
            });
        }
    });
    queue.close().wait().unwrap();
    let numbers = kept.numbers();
    for writer in 0..WRITERS {
        let own: Vec<_> = numbers.iter().filter(|n| *n / EACH == writer).copied().collect();
        assert_eq!(own, (writer * EACH..(writer + 1) * EACH).collect::<Vec<_>>());
    }
}

#[test]
fn what_a_deadline_stops_is_delivered_by_the_next_run() {
    let place = place();
    let (sink, holder) = held();
    let first = queue(&place, sink);
    for number in 0..5_000 {
        first.write(&number).unwrap();
    }
    assert_eq!(holder.given.recv().unwrap(), 0);
    holder.answer.send(Ok(())).unwrap();
    assert_eq!(holder.given.recv().unwrap(), 1);
    let error = first.close_within(Duration::ZERO).wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(4_999)));
    let stats = first.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.pending), (5_000, 1, 4_999));
    assert_eq!(Spool::open(&place.path).unwrap().stats().unwrap().pending, 4_999);

    let kept = Kept::default();
    let second = queue(&place, kept.clone());
    assert_eq!(second.stats().accepted, 4_999);
    second.write(&5_000).unwrap();
    second.close().wait().unwrap();
    assert_eq!(kept.numbers(), (1..=5_000).collect::<Vec<_>>());
}

#[test]
fn an_event_keeps_its_id_over_a_restart_and_numbers_are_not_used_again() {
    let place = place();
    let (sink, holder) = held();
    let first = queue(&place, sink);
    first.write(&7).unwrap();
    holder.given.recv().unwrap();
    first.abort();
    first.close().wait().unwrap_err();
    let id = Spool::open(&place.path).unwrap().events().next().unwrap().unwrap().id();

    let kept = Kept::default();
    let second = queue(&place, kept.clone());
    second.close().wait().unwrap();
    assert_eq!(kept.ids(), [id.to_string()]);

    // Nothing is left that could tell the last number, but for the file's own note.
    let third = queue(&place, kept.clone());
    third.write(&8).unwrap();
    third.close().wait().unwrap();
    let second = kept.ids()[1].parse::<EventId>().unwrap();
    assert_eq!(second.number(), 2);
    assert_ne!(second.file(), id.file(), "a copy of the file would give the same id");
}

#[test]
fn a_flush_leaves_nothing_on_the_disk_and_the_queue_open() {
    let place = place();
    let queue = queue(&place, Kept::default());
    for number in 0..2_500 {
        queue.write(&number).unwrap();
    }
    queue.flush().wait().unwrap();
    assert_eq!(queue.spool().unwrap().stats().unwrap().pending, 0);
    queue.write(&0).unwrap();
    queue.close().wait().unwrap();
    queue.flush().wait().unwrap();
}

#[test]
fn a_batch_holds_what_waits_and_a_flush_does_not_linger() {
    let place = place();
    let (tell, told) = mpsc::channel();
    let sink = sink_fn(move |batch: &[Stored<u64>]| {
        tell.send(batch.iter().map(|event| **event).collect::<Vec<_>>()).unwrap();
        Ok(())
    });
    let queue = DurableQueue::builder(&place.path).batch(10, Duration::from_hours(1));
    let queue = queue.spawn(sink).unwrap();
    for number in 0..25 {
        queue.write(&number).unwrap();
    }
    queue.flush().wait().unwrap();
    queue.close().wait().unwrap();
    let batches: Vec<_> = told.try_iter().collect();
    assert!(batches.iter().all(|batch| batch.len() <= 10));
    assert_eq!(batches.concat(), (0..25).collect::<Vec<_>>());
}

#[test]
fn a_backlog_larger_than_any_batch_goes_in_full_batches() {
    let place = place();
    let (sink, holder) = held();
    let first = queue(&place, sink);
    for number in 0..3_000 {
        first.write(&number).unwrap();
    }
    holder.given.recv().unwrap();
    first.abort();
    first.close().wait().unwrap_err();
    let sizes = Arc::new(Memory::<usize>::new());
    let seen = Arc::clone(&sizes);
    let sink = sink_fn(move |batch: &[Stored<u64>]| seen.write(&batch.len()));
    let queue = DurableQueue::<u64>::builder(&place.path).batch(1_000, Duration::from_mins(1));
    let queue = queue.spawn(sink).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(sizes.events(), [1_000, 1_000, 1_000]);
}

#[test]
fn a_destination_that_is_gone_closes_the_queue_and_the_events_stay() {
    let place = place();
    let (sink, holder) = held();
    let gone = queue(&place, sink);
    gone.write(&0).unwrap();
    gone.write(&1).unwrap();
    holder.answer.send(Err(SinkError::closed())).unwrap();
    let error = gone.close().wait().unwrap_err();
    assert_eq!((error.kind(), error.undelivered()), (ErrorKind::Undelivered, Some(2)));
    assert!(error.errors().iter().any(|error| error.kind() == ErrorKind::Closed), "{error:?}");
    assert_eq!(gone.write(&2).unwrap_err().kind(), ErrorKind::Closed);
    let kept = Kept::default();
    queue(&place, kept.clone()).close().wait().unwrap();
    assert_eq!(kept.numbers(), [0, 1]);
}

#[test]
fn dropping_the_last_handle_delivers_what_is_there() {
    let place = place();
    let (tell, told) = mpsc::channel();
    let sink = sink_fn(move |event: &Stored<u64>| {
        tell.send(**event).unwrap();
        Ok(())
    });
    let queue = queue(&place, sink);
    let clone = queue.clone();
    drop(queue);
    clone.write(&1).unwrap();
    drop(clone);
    assert_eq!(told.iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn normal_durability_delivers_the_same() {
    let place = place();
    let memory = Arc::new(Memory::<String>::new());
    let queue = DurableQueue::builder(&place.path).durability(Durability::Normal);
    let queue = queue.spawn(Plain::new(Arc::clone(&memory))).unwrap();
    queue.write(&"one".to_owned()).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(memory.events(), ["one"]);
}

#[test]
fn a_sink_may_write_to_its_own_queue_but_not_wait_for_it() {
    let place = place();
    let own = Arc::new(std::sync::OnceLock::<DurableQueue<u64>>::new());
    let (tell, told) = mpsc::channel();
    let inside = Arc::clone(&own);
    let sink = sink_fn(move |event: &Stored<u64>| {
        let queue = inside.wait();
        if **event == 0 {
            queue.write(&1)?;
            tell.send(queue.flush().wait()).unwrap();
            tell.send(queue.close().wait()).unwrap();
        }
        Ok(())
    });
    let queue = queue(&place, sink);
    own.set(queue.clone()).unwrap();
    queue.write(&0).unwrap();
    for _ in 0..2 {
        assert_eq!(told.recv().unwrap().unwrap_err().kind(), ErrorKind::WouldDeadlock);
    }
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().delivered, 2);
}
