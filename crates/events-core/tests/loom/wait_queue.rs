//! The line for room.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Waker},
};

use events_core::{
    ErrorKind,
    engine::{
        Cursor,
        feed::{Feed, Refused},
        park::block_on,
    },
};
use loom::thread;

use crate::check;

/// Room for one, which event 0 takes; a thread that settles what it reads, and answers what that
/// was.
fn full() -> (Arc<Feed<u64>>, thread::JoinHandle<Vec<u64>>) {
    let cursor = Arc::new(Cursor::new(0, None));
    let feed = Arc::new(Feed::new().bounded(1, Arc::clone(&cursor)));
    let mut reader = feed.reader(None);
    feed.push(0).unwrap();
    let worker = thread::spawn(move || {
        let mut events = Vec::new();
        while let Some(chunk) = block_on(poll_fn(|cx| reader.poll_chunk(cx, 1))) {
            events.extend_from_slice(chunk.from(reader.at()));
            let count = chunk.end() - reader.at();
            assert_eq!(count, 1, "there is room for one");
            reader.advance_to(chunk.end());
            cursor.settle(count);
            if cursor.publish() {
                cursor.clear_notified();
                if reader.feed().admit() {
                    cursor.notify();
                }
            }
        }
        events
    });
    (feed, worker)
}

/// Waits for room, if there is none.
fn write(feed: &Arc<Feed<u64>>, event: u64) {
    if let Err(Refused::Full(event)) = feed.push(event) {
        let mut ticket = feed.wait_for_room(event).unwrap();
        block_on(poll_fn(|cx| ticket.poll_admitted(cx))).unwrap();
    }
}

#[test]
fn a_writer_gets_the_room_that_another_does_not_want_any_more() {
    check(2, || {
        let (feed, worker) = full();
        let other = Arc::clone(&feed);
        let leaver = thread::spawn(move || {
            let Err(Refused::Full(event)) = other.push(1) else { return true };
            let mut ticket = other.wait_for_room(event).unwrap();
            let polled = ticket.poll_admitted(&mut Context::from_waker(Waker::noop()));
            polled.is_ready() || ticket.cancel().is_ok()
        });
        write(&feed, 2);
        let was_in = leaver.join().unwrap();
        feed.close();
        let mut events = worker.join().unwrap();
        events.sort_unstable();
        assert_eq!(events, if was_in { vec![0, 1, 2] } else { vec![0, 2] });
    });
}

#[test]
fn a_close_sends_away_who_was_not_let_in() {
    check(3, || {
        let (feed, worker) = full();
        let other = Arc::clone(&feed);
        let closer = thread::spawn(move || other.close());
        let result = feed.push(1).or_else(|refused| match refused {
            Refused::Closed(_) => Err(ErrorKind::Closed),
            Refused::Full(event) => match feed.wait_for_room(event) {
                Err(_) => Err(ErrorKind::Closed),
                Ok(mut ticket) => block_on(poll_fn(|cx| ticket.poll_admitted(cx))),
            },
        });
        closer.join().unwrap();
        let events = worker.join().unwrap();
        assert_eq!(events, [0, 1][..=usize::from(result.is_ok())]);
    });
}
