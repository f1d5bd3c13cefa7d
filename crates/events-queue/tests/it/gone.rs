//! Destinations that go away, and those that an abort closes.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use events_core::{Close, DeadLetter, ErrorKind, Memory, Sink, SinkError};
use events_queue::Queue;

/// Holds every write until it is aborted, and then says that it is closed.
struct ClosedByAbort {
    held: Sender<()>,
    aborted: (Sender<()>, parking_lot::Mutex<Receiver<()>>),
}

impl Close for ClosedByAbort {
    fn abort(&self) {
        self.aborted.0.send(()).unwrap();
    }
}

impl Sink<u32> for ClosedByAbort {
    fn write(&self, _event: &u32) -> Result<(), SinkError> {
        self.held.send(()).unwrap();
        self.aborted.1.lock().recv().unwrap();
        Err(SinkError::closed())
    }
}

#[test]
fn a_destination_that_is_gone_is_not_asked_again() {
    let (asked, was_asked) = channel();
    let (let_go, go) = channel();
    let go = parking_lot::Mutex::new(go);
    let gone = events_core::sink_fn(move |event: &u32| {
        asked.send(*event).unwrap();
        go.lock().recv().unwrap();
        Err(SinkError::closed())
    });
    let queue = Queue::spawn(gone);
    Sink::write(&queue, &0).unwrap();
    assert_eq!(was_asked.recv(), Ok(0));
    // These are not in the worker's hands yet.
    for event in 1..10 {
        Sink::write(&queue, &event).unwrap();
    }
    for _ in 0..10 {
        let_go.send(()).unwrap();
    }
    queue.close().wait().unwrap_err();
    assert_eq!(was_asked.try_iter().count(), 0);
    assert_eq!(queue.stats().failed, 10);
}

#[test]
fn a_sink_that_an_abort_closed_is_not_mistaken_for_a_destination_that_is_gone() {
    let (held, is_held) = channel();
    let (abort, aborted) = channel();
    let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
    let sink = ClosedByAbort { held, aborted: (abort, aborted.into()) };
    let queue = Queue::builder().dead_letter(Arc::clone(&letters)).spawn(sink).unwrap();
    for event in 0..10 {
        Sink::write(&queue, &event).unwrap();
    }
    is_held.recv().unwrap();
    let error = queue.close_within(Duration::ZERO).wait().unwrap_err();
    assert_eq!(error.undelivered(), Some(10));
    assert_eq!(queue.stats().dropped.abandoned, 10);
    let letters = letters.take();
    assert!(letters.iter().map(|letter| letter.event).eq(0..10));
    assert!(letters[1..].iter().all(|letter| letter.error.kind() == ErrorKind::Undelivered));
}
