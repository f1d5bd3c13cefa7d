//! The conformance suite over every kind of queue, and over the channel.

use std::{thread, time::Duration};

use events_core::{Breaker, Close, Closing, Sink, SinkError, conformance::Suite};
use events_queue::{Builder, ChannelSink, Overflow, Queue, Schedule, Single};
use parking_lot::Mutex;

use crate::support::started;

const LOSSLESS: [Overflow; 3] =
    [Overflow::Block, Overflow::BlockFor(Duration::from_mins(1)), Overflow::Reject];
const LOSSY: [Overflow; 2] = [Overflow::DropOldest, Overflow::DropNewest];

fn bounded(overflow: Overflow) -> Builder<u64, Single> {
    Queue::builder().capacity(3).overflow(overflow)
}

/// Four deliveries at a time that keep the order of each of the suite's writers.
fn ordered() -> Builder<u64, Single> {
    Queue::builder().concurrency(4).ordered_by(|number: &u64| number >> 32)
}

#[test]
fn a_queue() {
    Suite::wrapper(Queue::spawn).run();
    Suite::async_wrapper(Queue::spawn).run();
    Suite::wrapper(|destination| started(Queue::pair(destination))).run();
    Suite::async_wrapper(|destination| started(Queue::pair(destination))).run();
}

#[test]
fn every_policy_that_keeps_what_it_accepts() {
    for overflow in LOSSLESS {
        Suite::wrapper(move |to| bounded(overflow).spawn(to).unwrap()).run();
        Suite::async_wrapper(move |to| started(bounded(overflow).pair(to).unwrap())).run();
    }
}

#[test]
fn every_policy_that_drops_what_it_accepted() {
    for overflow in LOSSY {
        Suite::wrapper(move |to| bounded(overflow).spawn(to).unwrap()).lossy().run();
        Suite::async_wrapper(move |to| started(bounded(overflow).pair(to).unwrap())).lossy().run();
    }
}

#[test]
fn deliveries_that_keep_the_order_of_each_key() {
    Suite::wrapper(|to| ordered().spawn(to).unwrap()).run();
    Suite::async_wrapper(|to| started(ordered().pair(to).unwrap())).run();
    for overflow in LOSSLESS {
        let ordered = move || ordered().capacity(6).overflow(overflow);
        Suite::wrapper(move |to| ordered().spawn(to).unwrap()).run();
        Suite::async_wrapper(move |to| started(ordered().pair(to).unwrap())).run();
    }
    for overflow in LOSSY {
        let ordered = move || ordered().capacity(6).overflow(overflow);
        Suite::wrapper(move |to| ordered().spawn(to).unwrap()).lossy().run();
        Suite::async_wrapper(move |to| started(ordered().pair(to).unwrap())).lossy().run();
    }
    Suite::wrapper(|to| ordered().batch(7, Duration::from_millis(1)).spawn(to).unwrap()).run();
}

#[test]
fn deliveries_that_are_tried_again() {
    let schedule = || Schedule::delays([Duration::from_millis(1); 3]);
    let queue = move || ordered().redeliver(schedule());
    Suite::wrapper(move |to| queue().spawn(to).unwrap()).run();
    Suite::async_wrapper(move |to| started(queue().pair(to).unwrap())).run();
    let queue = move || queue().circuit(Breaker::default()).capacity(6);
    Suite::wrapper(move |to| queue().spawn(to).unwrap()).run();
    Suite::async_wrapper(move |to| started(queue().pair(to).unwrap())).run();
}

#[test]
fn deliveries_that_keep_no_order() {
    let queue = || Queue::builder().concurrency(3);
    Suite::wrapper(move |to| queue().spawn(to).unwrap()).unordered().run();
    Suite::async_wrapper(move |to| started(queue().pair(to).unwrap())).unordered().run();
    for overflow in LOSSLESS {
        let queue = move || queue().capacity(4).overflow(overflow);
        Suite::wrapper(move |to| queue().spawn(to).unwrap()).unordered().run();
        Suite::async_wrapper(move |to| started(queue().pair(to).unwrap())).unordered().run();
    }
}

#[test]
fn batches() {
    for linger in [Duration::ZERO, Duration::from_millis(1), Duration::from_hours(1)] {
        Suite::wrapper(move |to| Queue::builder().batch(7, linger).spawn(to).unwrap()).run();
        Suite::async_wrapper(move |to| {
            started(Queue::builder().batch(7, linger).pair(to).unwrap())
        })
        .run();
    }
}

#[cfg(feature = "tokio")]
#[test]
fn a_queue_on_a_runtime() {
    use std::sync::Arc;
    use tokio::runtime::Builder;

    let one = Builder::new_current_thread().enable_all().build().unwrap();
    let one = Arc::new(one);
    let driver = Arc::clone(&one);
    thread::spawn(move || driver.block_on(std::future::pending::<()>()));
    let many =
        Arc::new(Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());
    for runtime in [one, many] {
        let spawner = Arc::clone(&runtime);
        for queue in [Queue::builder, ordered] {
            let spawner = Arc::clone(&spawner);
            let make = move |destination| {
                let _inside = spawner.enter();
                queue().spawn_tokio(destination).unwrap()
            };
            let driver = Arc::clone(&runtime);
            Suite::async_wrapper(make.clone())
                .driven_by(move |future| driver.block_on(future))
                .run();
            Suite::wrapper(make).run();
        }
        // Dropped here, it would wait for what a test left behind.
        std::mem::forget(runtime);
    }
}

/// A channel with a thread that receives from it.
struct Received {
    sink: ChannelSink<u64>,
    events: Mutex<Option<thread::JoinHandle<Vec<u64>>>>,
    seen: Mutex<Vec<u64>>,
}

impl Received {
    fn new((sink, events): (ChannelSink<u64>, crossbeam_channel::Receiver<u64>)) -> Self {
        let events = Mutex::new(Some(thread::spawn(move || events.iter().collect())));
        Self { sink, events, seen: Mutex::default() }
    }

    /// All that was received, once the channel has closed and ended.
    fn seen(&self) -> Vec<u64> {
        let mut seen = self.seen.lock();
        if let Some(events) = self.events.lock().take() {
            *seen = events.join().unwrap();
        }
        seen.clone()
    }
}

impl Close for Received {
    fn close(&self) -> Closing<'_> {
        self.sink.close()
    }

    fn abort(&self) {
        self.sink.abort();
    }
}

impl Sink<u64> for Received {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.sink.write(event)
    }
}

#[test]
fn a_channel() {
    let channels: [fn() -> Received; 3] = [
        || Received::new(ChannelSink::unbounded()),
        || Received::new(ChannelSink::bounded(3).unwrap()),
        || Received::new(ChannelSink::unbuffered()),
    ];
    for make in channels {
        Suite::sink(make, |number| number).observed(Received::seen).run();
    }
}
