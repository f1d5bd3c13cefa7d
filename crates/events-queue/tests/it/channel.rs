//! The channel sink.

use std::{sync::Barrier, thread};

use events_core::{Close, ErrorKind, Sink};
use events_queue::ChannelSink;

use crate::support::{assert_kind, in_time};

/// The seed's own test: an unbuffered channel, many writers, `Closed` after the close.
#[test]
fn seed_keep_test_channel() {
    in_time(|| {
        let (sink, events) = ChannelSink::unbuffered();
        thread::scope(|scope| {
            for event in 0..100 {
                let sink = &sink;
                scope.spawn(move || sink.write(&event).unwrap());
            }
            let mut received: Vec<i32> = events.iter().take(100).collect();
            received.sort_unstable();
            assert_eq!(received, (0..100).collect::<Vec<_>>());
        });
        sink.close().wait().unwrap();
        assert_kind(sink.write(&100), ErrorKind::Closed);
        assert!(events.recv().is_err());
    });
}

#[test]
fn seed_20_a_write_after_the_close_never_succeeds() {
    in_time(|| {
        // With room and with a receiver that waits, where choosing by chance would show.
        let (sink, events) = ChannelSink::bounded(1_000).unwrap();
        let receiver = thread::spawn(move || events.iter().count());
        sink.close().wait().unwrap();
        for event in 0..1_000 {
            assert_kind(sink.write(&event), ErrorKind::Closed);
        }
        assert_eq!(receiver.join().unwrap(), 0);
    });
}

#[test]
fn seed_21_the_receiver_drains_what_is_buffered_then_ends() {
    in_time(|| {
        let (sink, events) = ChannelSink::bounded(10).unwrap();
        for event in 0..10 {
            sink.write(&event).unwrap();
        }
        sink.close().wait().unwrap();
        assert_eq!(events.iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        // A receiver that waits for more is told of the end as well.
        let (sink, events) = ChannelSink::<u64>::unbuffered();
        let receiver = thread::spawn(move || events.recv());
        sink.close().wait().unwrap();
        assert!(receiver.join().unwrap().is_err());
    });
}

#[test]
fn writers_that_wait_get_closed_at_the_close() {
    in_time(|| {
        let (sink, events) = ChannelSink::bounded(1).unwrap();
        sink.write(&0).unwrap();
        let begun = Barrier::new(4);
        thread::scope(|scope| {
            let writers: Vec<_> = (1..4)
                .map(|event| {
                    let (sink, begun) = (&sink, &begun);
                    scope.spawn(move || {
                        begun.wait();
                        sink.write(&event)
                    })
                })
                .collect();
            begun.wait();
            sink.close().wait().unwrap();
            for writer in writers {
                assert_kind(writer.join().unwrap(), ErrorKind::Closed);
            }
        });
        assert_eq!(events.iter().collect::<Vec<_>>(), [0]);
    });
}

#[test]
fn without_a_receiver_a_write_is_closed() {
    let (sink, events) = ChannelSink::bounded(1).unwrap();
    drop(events);
    assert_kind(sink.write(&0), ErrorKind::Closed);
}

#[test]
fn an_abort_closes_too() {
    let (sink, events) = ChannelSink::bounded(1).unwrap();
    sink.write(&0).unwrap();
    sink.abort();
    assert_kind(sink.write(&1), ErrorKind::Closed);
    assert_eq!(events.iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn debug_shows_no_event() {
    let (sink, _events) = ChannelSink::bounded(1).unwrap();
    sink.write(&"secret").unwrap();
    assert_eq!(format!("{sink:?}"), "ChannelSink { closed: false, buffered: 1, .. }");
}
