//! Writers and readers of one log. An event is its own sequence number.

use std::{future::poll_fn, sync::Arc};

use events_core::engine::{
    feed::{Chunk, Feed, Reader},
    park::block_on,
};
use loom::thread;

use crate::check;

fn next<E>(reader: &mut Reader<E>) -> Option<Arc<Chunk<E>>> {
    block_on(poll_fn(|cx| reader.poll_chunk(cx, 1)))
}

/// Reads to the end; what was read.
fn read(reader: &mut Reader<u64>) -> Vec<u64> {
    let mut events = Vec::new();
    while let Some(chunk) = next(reader) {
        events.extend_from_slice(chunk.from(reader.at()));
        reader.advance_to(chunk.end());
    }
    events
}

#[test]
fn a_reader_that_runs_dry_is_woken_and_reads_all() {
    check(3, || {
        let feed = Arc::new(Feed::with_chunks(2));
        let mut reader = feed.reader(None);
        let writer = thread::spawn(move || {
            for event in 0..3 {
                feed.push(event).unwrap();
            }
            feed.close();
        });
        assert_eq!(read(&mut reader), [0, 1, 2]);
        writer.join().unwrap();
    });
}

#[test]
fn what_was_taken_before_the_close_is_read() {
    check(3, || {
        let feed = Arc::new(Feed::new());
        let mut reader = feed.reader(None);
        let other = Arc::clone(&feed);
        let closer = thread::spawn(move || other.close());
        let writer = thread::spawn(move || (0..2).filter(|e| feed.push(*e).is_ok()).count());
        let events = read(&mut reader);
        closer.join().unwrap();
        assert_eq!(events, [0, 1][..writer.join().unwrap()]);
    });
}

#[test]
fn a_reader_that_lingers_is_hurried() {
    check(4, || {
        let feed = Arc::new(Feed::new());
        let mut reader = feed.reader(None);
        let writers = [0, 1].map(|event| {
            let feed = Arc::clone(&feed);
            thread::spawn(move || {
                feed.push(event).unwrap();
                feed.hurry();
            })
        });
        while reader.at() < 2 {
            let chunk = block_on(poll_fn(|cx| reader.poll_chunk(cx, 3))).unwrap();
            reader.advance_to(chunk.end());
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn a_bounded_reader_knows_exactly_what_it_skipped() {
    check(3, || {
        let feed = Arc::new(Feed::with_chunks(1));
        let mut reader = feed.reader(Some(1));
        let writer = thread::spawn(move || {
            for event in 0..4 {
                feed.push(event).unwrap();
            }
            feed.close();
        });
        let (mut events, mut skipped) = (0, 0);
        while let Some(chunk) = next(&mut reader) {
            loop {
                let lag = reader.lag();
                skipped += lag;
                reader.advance_to(reader.at() + lag);
                let Some(event) = chunk.from(reader.at()).first() else { break };
                assert_eq!(*event, reader.at(), "a skip that was not counted");
                events += 1;
                reader.advance_to(reader.at() + 1);
            }
        }
        assert_eq!(events + skipped, 4);
        assert!(events > 0, "the last one lies within its bound");
        writer.join().unwrap();
    });
}

#[test]
fn what_every_reader_has_read_is_let_go_and_nothing_else() {
    check(2, || {
        let token = Arc::new(());
        let feed = Arc::new(Feed::with_chunks(1));
        let [mut one, mut two] = [feed.reader(None), feed.reader(None)];
        // It reads one event, or none if it is early, and leaves.
        let early = thread::spawn(move || two.try_chunk().map_or(0, |chunk| chunk.len()));
        let events = Arc::clone(&token);
        let pushed = Arc::clone(&feed);
        let writer = thread::spawn(move || {
            for _ in 0..2 {
                pushed.push(Arc::clone(&events)).unwrap();
            }
        });
        for seen in 1..=2 {
            let chunk = next(&mut one).unwrap();
            one.advance_to(chunk.end());
            assert_eq!(chunk.end(), seen);
        }
        writer.join().unwrap();
        assert!(early.join().unwrap() <= 1);
        assert_eq!(Arc::strong_count(&token), 1);
    });
}
