use events_core::{Close, Sink, sink_fn};
use events_durable::{DurableQueue, Stored, Which};
use std::sync::{Arc, mpsc};

use crate::support::{held, place, queue};

/// A backlog of 40 MB, then its drain: the file is small again.
#[test]
fn room_is_given_back_after_the_drain() {
    let place = place();
    let (open, opened) = mpsc::channel::<()>();
    let opened = parking_lot::Mutex::new(opened);
    let sink = sink_fn(move |_: &Stored<String>| {
        // Blocks until the other end is dropped.
        let _ = opened.lock().recv();
        Ok(())
    });
    let queue = DurableQueue::spawn(sink, &place.path).unwrap();
    let event: Arc<str> = "x".repeat(40_000).into();
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| (0..100).for_each(|_| queue.write(&event.to_string()).unwrap()));
        }
    });
    let full = queue.spool().unwrap().stats().unwrap();
    assert!(full.file_bytes > 40_000_000, "{full:?}");
    drop(open);
    queue.flush().wait().unwrap();
    // What is asked for after the drain is answered after what follows from the drain.
    queue.purge(Which::All).wait().unwrap();
    let empty = place.path.metadata().unwrap().len();
    assert!(empty < 1_000_000, "{empty}, {:?}", queue.spool().unwrap().stats().unwrap());
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().delivered, 1_000);
}

/// Figures of several moments would not go together, and their differences be below zero.
#[test]
fn a_look_inside_while_it_drains_is_of_one_moment() {
    let place = place();
    let (sink, holder) = held();
    let first = queue(&place, sink);
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| (0..200).for_each(|number| first.write(&number).unwrap()));
        }
    });
    first.abort();
    first.close().wait().unwrap_err();
    drop(holder);
    let queue = queue(&place, events_core::Discard::new());
    let spool = queue.spool().unwrap();
    let mut pending = 12_800;
    while pending > 0 {
        let now = spool.stats().unwrap();
        assert!(now.pending <= pending && now.used_bytes <= now.file_bytes, "{now:?}");
        pending = now.pending;
    }
    queue.close().wait().unwrap();
}
