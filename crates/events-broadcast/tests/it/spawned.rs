//! Sinks that have a thread or a future to deliver to them.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use events_broadcast::{Broadcaster, Lag};
use events_core::{
    Close, Discard, ErrorKind, Memory, Sink, SinkError, engine::park::block_on, sink_fn,
};

use crate::support::{Blocked, Recorder, assert_balanced, stats_of};

#[test]
fn a_sink_that_blocks_delays_nobody() {
    let all = Broadcaster::new();
    let (blocked, entered) = Blocked::new();
    let slow = all.spawn(Arc::clone(&blocked));
    let quick = Recorder::new();
    let delivery = all.spawn(Arc::clone(&quick));
    for event in 0..1_000 {
        all.write(&event).unwrap();
    }
    entered.recv().unwrap();
    delivery.flush().wait().unwrap();
    assert_eq!(quick.events().len(), 1_000);
    let stats = slow.stats();
    assert_eq!((stats.accepted, stats.pending), (1_000, 1_000));
    assert!(stats.oldest.is_some());
    blocked.open();
    all.close().wait().unwrap();
    assert_eq!(blocked.recorder.events(), quick.events());
}

#[test]
fn a_sink_that_says_closed_leaves_and_its_rest_fails() {
    let all = Broadcaster::new();
    let dead = Arc::new(Memory::new());
    let answers = Memory::<u64>::new();
    let leaves = sink_fn(move |event: &u64| match event {
        0..=2 => Sink::write(&answers, event),
        _ => Err(SinkError::closed()),
    });
    let delivery = all.subscriber().dead_letter(Arc::clone(&dead)).spawn(leaves).unwrap();
    for event in 0..10 {
        all.write(&event).unwrap();
    }
    assert_eq!(delivery.close().wait().unwrap_err().kind(), ErrorKind::Closed);
    let stats = delivery.stats();
    assert_eq!(stats.delivered, 3);
    assert_eq!(stats.pending, 0);
    assert_balanced(&stats);
    let letters = dead.events();
    // What was written before it left, each once and in order.
    assert_eq!(letters.len() as u64, stats.failed + stats.dropped.total());
    assert!(letters.iter().map(|letter| letter.event).eq(3..3 + letters.len() as u64));
    assert_eq!(all.close().wait().unwrap_err().kind(), ErrorKind::Closed, "why it left");
}

#[test]
fn one_can_be_closed_alone() {
    let all = Broadcaster::new();
    let (one, two) = (Recorder::new(), Recorder::new());
    let delivery = all.spawn(Arc::clone(&one));
    all.spawn(Arc::clone(&two));
    all.write(&1).unwrap();
    delivery.close().wait().unwrap();
    all.write(&2).unwrap();
    assert_eq!(one.events(), [1]);
    assert_eq!(one.closes.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(delivery.stats().accepted, 1);
    assert_eq!(all.stats().len(), 1, "it has left");
    all.close().wait().unwrap();
    assert_eq!(two.events(), [1, 2]);
}

#[test]
fn a_lag_is_counted_and_the_newest_delivered() {
    let all = Broadcaster::new();
    let (blocked, entered) = Blocked::new();
    let lags = all.subscriber().lag(Lag::DropOldest(5));
    let delivery = lags.spawn(Arc::clone(&blocked)).unwrap();
    all.write(&0).unwrap();
    entered.recv().unwrap();
    for event in 1..=100 {
        all.write(&event).unwrap();
    }
    let stats = delivery.stats();
    assert_eq!((stats.pending, stats.dropped.overflow), (6, 95), "the one in its hands, and five");
    assert_balanced(&stats);
    blocked.open();
    all.close().wait().unwrap();
    assert_eq!(blocked.recorder.events(), [0, 96, 97, 98, 99, 100]);
    let stats = delivery.stats();
    assert_eq!((stats.delivered, stats.dropped.overflow, stats.pending), (6, 95, 0));
}

#[test]
fn one_that_lags_too_far_is_closed() {
    let all = Broadcaster::new();
    let (blocked, entered) = Blocked::new();
    let dead = Arc::new(Memory::new());
    let lags = all.subscriber().lag(Lag::Disconnect(5)).dead_letter(Arc::clone(&dead));
    let delivery = lags.spawn(Arc::clone(&blocked)).unwrap();
    all.write(&0).unwrap();
    entered.recv().unwrap();
    for event in 1..=100 {
        all.write(&event).unwrap();
    }
    blocked.open();
    let error = delivery.close().wait().unwrap_err();
    assert_eq!(error.undelivered(), Some(5));
    let stats = delivery.stats();
    assert_eq!((stats.delivered, stats.dropped.overflow, stats.dropped.abandoned), (1, 95, 5));
    assert_balanced(&stats);
    assert_eq!(dead.len(), 5);
    assert!(blocked.recorder.closed.load(std::sync::atomic::Ordering::Relaxed));
}

#[test]
fn a_future_that_is_dropped_unpolled_ends_the_account() {
    let all = Broadcaster::new();
    let dead = Arc::new(Memory::new());
    let subscriber = all.subscriber().dead_letter(Arc::clone(&dead));
    let (delivery, worker) = subscriber.pair(Discard::new()).unwrap();
    all.write(&1).unwrap();
    all.write(&2).unwrap();
    drop(worker);
    let stats = delivery.stats();
    assert_eq!((stats.dropped.abandoned, stats.pending), (2, 0));
    assert_eq!(dead.len(), 2);
    assert_eq!(all.close().wait().unwrap_err().undelivered(), Some(2));
}

#[test]
fn any_executor_can_drive_a_sink() {
    let all = Broadcaster::new();
    let memory = Arc::new(Memory::<u64>::new());
    let (_delivery, worker) = all.pair(Arc::clone(&memory));
    let worker = thread::spawn(|| block_on(worker));
    for event in 0..1_000 {
        all.write(&event).unwrap();
    }
    all.close().wait().unwrap();
    worker.join().unwrap();
    assert_eq!(memory.events(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn the_last_handle_ends_them() {
    struct Told(mpsc::Sender<&'static str>);
    impl Close for Told {
        fn close(&self) -> events_core::Closing<'_> {
            self.0.send("closed").unwrap();
            events_core::Closing::done()
        }
    }
    impl Sink<u64> for Told {
        fn write(&self, _event: &u64) -> Result<(), SinkError> {
            self.0.send("written").unwrap();
            Ok(())
        }
    }
    let (sender, told) = mpsc::channel();
    let all = Broadcaster::new();
    all.spawn(Told(sender));
    all.write(&1).unwrap();
    drop(all);
    assert_eq!(told.iter().collect::<Vec<_>>(), ["written", "closed"]);
}

#[test]
fn after_a_close_a_new_sink_is_closed_at_once() {
    let all = Broadcaster::<u64>::new();
    all.close().wait().unwrap();
    let sink = Recorder::new();
    all.spawn(Arc::clone(&sink)).close().wait().unwrap();
    assert!(sink.closed.load(std::sync::atomic::Ordering::Relaxed));
}

/// Every subscriber sees each writer's events in that writer's order, whatever the others do.
#[test]
fn the_order_of_each_writer_is_kept() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 2_000;
    let all = Broadcaster::new();
    let direct = Recorder::new();
    let direct_id = all.add(direct.clone()).unwrap();
    let spawned = Recorder::new();
    all.spawn(Arc::clone(&spawned));
    let pulled = all.subscribe();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let all = &all;
            scope.spawn(move || {
                for event in 0..EACH {
                    all.write(&(writer * EACH + event)).unwrap();
                }
            });
        }
    });
    all.close().wait().unwrap();
    assert_eq!(stats_of(&all, direct_id).delivered, WRITERS * EACH);
    let pulled: Vec<u64> = pulled.into_iter().map(Result::unwrap).collect();
    assert_eq!(direct.events(), pulled, "the log is written in the writers' turns");
    for events in [direct.events(), spawned.events()] {
        for writer in 0..WRITERS {
            let ours: Vec<_> = events.iter().filter(|event| *event / EACH == writer).collect();
            assert_eq!(ours.len() as u64, EACH);
            assert!(ours.is_sorted());
        }
    }
}
