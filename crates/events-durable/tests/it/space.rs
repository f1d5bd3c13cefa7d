use events_core::{Close, Sink, sink_fn};
use events_durable::{DurableQueue, Stored};
use std::sync::{Arc, mpsc};

use crate::support::place;

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
    queue.close().wait().unwrap();
    let empty = place.path.metadata().unwrap().len();
    assert!(empty < 1_000_000, "{empty}");
    assert_eq!(queue.stats().delivered, 1_000);
}
