//! What is closed lets go of all events, also while its handle is kept; and dropped with it, of its sink.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use events_broadcast::Broadcaster;
use events_core::{Breaker, Close, Memory, Sink, SinkError, sink_fn};
use events_queue::{Queue, Schedule};
use events_retry::Retry;

type Event = Arc<u64>;

/// Long enough for any machine; what takes longer is never let go of.
const LEAK: Duration = Duration::from_secs(30);

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LEAK, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A sink that keeps no event, with what tells whether it still lives.
fn sink() -> (impl Sink<Event> + Clone + 'static, Weak<()>) {
    let alive = Arc::new(());
    let weak = Arc::downgrade(&alive);
    let sink = sink_fn(move |event: &Event| {
        assert!(Arc::strong_count(&alive) > 0);
        if **event == 7 { Err(SinkError::rejected("seven")) } else { Ok(()) }
    });
    (Arc::new(sink), weak)
}

/// Writes to what `make` makes over a sink, closes it, and looks at what is left.
fn check<S: Sink<Event>>(make: impl Fn(Box<dyn Sink<Event>>, Arc<Memory<u64>>) -> S) {
    for count in [1, 10, 1_000] {
        let (sink, alive) = sink();
        let dead = Arc::new(Memory::new());
        let handle = make(Box::new(sink), Arc::clone(&dead));
        let events: Vec<Event> = (0..count).map(Arc::new).collect();
        for event in &events {
            let _refused = handle.write(event);
        }
        let _fell_short = handle.close().wait();
        let is_free = |event: &Event| Arc::strong_count(event) == 1;
        until("an event is held after the close", || events.iter().all(is_free));
        drop(handle);
        until("the sink is held after the handle is dropped", || alive.strong_count() == 0);
        until("the dead letters are held after the handle is dropped", || {
            Arc::strong_count(&dead) == 1
        });
    }
}

/// Notes the number of a dead letter, and lets go of the event.
fn numbers(dead: Arc<Memory<u64>>) -> impl Sink<events_core::DeadLetter<Event>> {
    events_core::Map::new(dead, |letter: &events_core::DeadLetter<Event>| *letter.event)
}

#[test]
fn queues() {
    check(|sink, dead| Queue::builder().dead_letter(numbers(dead)).spawn(sink).unwrap());
    check(|sink, dead| {
        Queue::builder().capacity(3).dead_letter(numbers(dead)).spawn(sink).unwrap()
    });
    check(|sink, dead| {
        let schedule = Schedule::delays([Duration::from_millis(1)]);
        let queue = Queue::builder().concurrency(3).ordered_by(|event: &Event| **event % 5);
        queue.redeliver(schedule).dead_letter(numbers(dead)).spawn(sink).unwrap()
    });
}

#[test]
fn broadcasters() {
    check(|sink, dead| {
        let all = Broadcaster::new();
        all.subscriber().dead_letter(numbers(dead)).spawn(sink).unwrap();
        all
    });
    check(|sink, dead| {
        let all = Broadcaster::new();
        let queue = Queue::builder().dead_letter(numbers(dead)).spawn(sink).unwrap();
        all.add(Arc::new(queue)).unwrap();
        all
    });
}

#[test]
fn retries() {
    check(|sink, dead| {
        let retry = Retry::new(sink, Breaker::default());
        Queue::builder().dead_letter(numbers(dead)).spawn(retry).unwrap()
    });
}

#[test]
fn tasks() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.unwrap();
    for is_concurrent in [false, true] {
        let alive = Arc::new(());
        let weak = Arc::downgrade(&alive);
        let events: Vec<Event> = (0..100).map(Arc::new).collect();
        let queue = runtime.block_on(async {
            let sink = sink_fn(move |_: &Event| {
                let alive = Arc::clone(&alive);
                async move {
                    tokio::task::yield_now().await;
                    drop(alive);
                    Ok(())
                }
            });
            let queue = Queue::builder().concurrency(if is_concurrent { 4 } else { 1 });
            let queue = queue.spawn_tokio(sink).unwrap();
            for event in &events {
                events_core::AsyncSink::write(&queue, event).await.unwrap();
            }
            queue.close().await.unwrap();
            queue
        });
        let is_free = |event: &Event| Arc::strong_count(event) == 1;
        until("an event is held after the close", || events.iter().all(is_free));
        drop(queue);
        until("the sink is held", || weak.strong_count() == 0);
    }
}
