//! A queue that an operator pauses, or that is disabled, with one delivery at a time and several.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use events_core::{Close, Sink, SinkError};
use events_queue::{Builder, Mode, Queue, Schedule, Single};

use crate::support::{Script, assert_balanced, in_time, started, until, write_all};

type Start = fn(Builder<u64, Single>, Script) -> Queue<u64>;

/// On threads and in a future, one at a time and several.
fn all(script: impl Fn() -> Script, test: impl Fn(Queue<u64>, Script)) {
    let threads: Start = |queue, to| queue.spawn(to).unwrap();
    let future: Start = |queue, to| started(queue.pair(to).unwrap());
    for start in [threads, future] {
        for at_a_time in [1, 2] {
            let script = script();
            let queue = start(Queue::builder().concurrency(at_a_time), script.clone());
            test(queue, script);
        }
    }
}

#[test]
fn a_paused_queue_takes_events_and_delivers_none_until_it_is_resumed() {
    all(Script::new, |queue, script| {
        write_all(&queue, 0..10);
        in_time({
            let queue = queue.clone();
            move || queue.flush().wait().unwrap()
        });
        queue.pause();
        assert_eq!(queue.mode(), Mode::Paused);
        write_all(&queue, 10..300);
        // It has looked at them: whoever delivers is woken by an event.
        std::thread::yield_now();
        assert_eq!((script.delivered().len(), queue.stats().pending), (10, 290));
        queue.resume();
        assert_eq!(queue.mode(), Mode::Running);
        in_time({
            let queue = queue.clone();
            move || queue.flush().wait().unwrap()
        });
        assert_eq!(script.delivered().len(), 300);
    });
}

#[test]
fn a_pause_amid_a_chunk_lets_go_on_only_what_the_sink_has() {
    all(
        || Script::new().shut(),
        |queue, script| {
            write_all(&queue, 0..100);
            let first = script.entered();
            queue.pause();
            let in_hand = queue.stats().in_flight.max(1);
            script.open();
            until(|| queue.stats().delivered >= in_hand);
            until(|| queue.stats().in_flight == 0 || queue.stats().delivered < 100);
            assert!(script.delivered().contains(&first));
            assert!(script.delivered().len() <= 2, "{:?}", script.delivered());
            assert_balanced(&queue.stats());
            queue.resume();
            in_time({
                let queue = queue.clone();
                move || queue.flush().wait().unwrap()
            });
            assert_eq!(script.delivered().len(), 100);
        },
    );
}

#[test]
fn a_close_ends_a_pause() {
    all(Script::new, |queue, script| {
        queue.pause();
        write_all(&queue, 0..10);
        in_time(move || queue.close().wait()).unwrap();
        assert_eq!(script.delivered().len(), 10);
    });
}

#[test]
fn a_deadline_gives_up_what_a_pause_holds() {
    all(
        || Script::new().shut(),
        |queue, script| {
            queue.pause();
            write_all(&queue, 0..10);
            let error = in_time(move || queue.close_within(Duration::from_millis(5)).wait());
            assert_eq!(error.unwrap_err().undelivered(), Some(10));
            script.open();
        },
    );
}

#[test]
fn a_queue_whose_destination_fails_for_too_long_is_disabled_until_it_is_enabled() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let script = Script::answering(move |_| {
        if up.load(Ordering::SeqCst) { Ok(()) } else { Err(SinkError::unavailable("503")) }
    });
    let schedule = Schedule::exponential(Duration::from_millis(1), Duration::from_millis(5));
    let queue = Queue::builder().redeliver(schedule).disable_after(Duration::from_millis(20));
    let queue = queue.spawn(script.clone()).unwrap();
    write_all(&queue, 0..10);
    until(|| queue.mode() == Mode::Disabled);
    let attempts = queue.stats().attempts;
    Sink::write(&queue, &10).unwrap();
    std::thread::yield_now();
    assert!(queue.stats().attempts <= attempts + 1, "an attempt may have been under way");
    assert_eq!(queue.stats().pending, 11);
    is_up.store(true, Ordering::SeqCst);
    queue.enable();
    in_time({
        let queue = queue.clone();
        move || queue.close().wait().unwrap()
    });
    assert_eq!(queue.mode(), Mode::Running);
    assert_eq!(script.delivered().len(), 11);
}
