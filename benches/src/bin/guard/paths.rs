//! The hot paths. Each runs on one thread, so that it takes the same instructions every time.

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use benches::Counter;
use events_broadcast::Broadcaster;
use events_core::{Breaker, Close, Sink, engine::feed::Feed};
use events_queue::Queue;
use events_retry::Retry;

/// How many events take a path.
pub(crate) const EVENTS: u32 = 10_000;

/// A path: its name, and what sets it up, measures it and sees that it was taken.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) take: fn(),
}

pub(crate) const PATHS: &[Path] = &[
    Path { name: "direct write", take: || broadcast(1) },
    Path { name: "broadcast to 10 sinks", take: || broadcast(10) },
    Path { name: "broadcast to 10 sinks in a task", take: broadcast_in_task },
    Path { name: "queue write", take: queue_write },
    Path { name: "queue delivery", take: queue_delivery },
    Path { name: "feed read", take: feed_read },
    Path { name: "retry success", take: retry_success },
];

/// Valgrind counts from here to its end, and finds it by its name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

/// A small event, so that no copying of bytes is counted, which differs between processors.
const EVENT: u64 = 1;

fn check(sinks: &[Arc<Counter>]) {
    assert!(sinks.iter().all(|sink| sink.count() == u64::from(EVENTS)), "an event left the path");
}

fn write_all(sink: &impl Sink<u64>) {
    for _ in 0..EVENTS {
        sink.write(black_box(&EVENT)).expect("is taken");
    }
}

fn broadcast(sinks: usize) {
    let sinks: Vec<_> = (0..sinks).map(|_| Arc::new(Counter::default())).collect();
    let all = Broadcaster::new();
    for sink in &sinks {
        all.add(Arc::clone(sink) as _).expect("is open");
    }
    measured(&mut || write_all(&all));
    check(&sinks);
}

/// Written and delivered, by tokio with one thread.
fn broadcast_in_task() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let sinks: Vec<_> = (0..10).map(|_| Arc::new(Counter::default())).collect();
    let all = Broadcaster::new();
    runtime.block_on(async {
        for sink in &sinks {
            all.spawn_tokio(Arc::clone(sink));
        }
        tokio::task::yield_now().await;
    });
    measured(&mut || {
        runtime.block_on(async {
            write_all(&all);
            all.close().await.expect("is delivered");
        });
    });
    check(&sinks);
}

fn queue_write() {
    let (queue, _worker) = Queue::pair(Counter::default());
    measured(&mut || write_all(&queue));
    assert_eq!(queue.stats().pending, u64::from(EVENTS));
}

fn queue_delivery() {
    let sink = Arc::new(Counter::default());
    let (queue, worker) = Queue::pair(Arc::clone(&sink));
    write_all(&queue);
    let closing = queue.close();
    let mut worker = pin!(worker);
    let mut cx = Context::from_waker(Waker::noop());
    measured(&mut || while worker.as_mut().poll(&mut cx).is_pending() {});
    closing.wait().expect("closes well");
    check(&[sink]);
}

fn feed_read() {
    let feed = Arc::new(Feed::new());
    let mut reader = feed.reader(None);
    for _ in 0..EVENTS {
        feed.push(EVENT).expect("is open");
    }
    feed.close();
    let mut cx = Context::from_waker(Waker::noop());
    let mut read = 0;
    measured(&mut || {
        while let Poll::Ready(Some(chunk)) = reader.poll_chunk(&mut cx, 1) {
            for event in chunk.from(reader.at()) {
                read += black_box(*event);
            }
            reader.advance_to(chunk.end());
        }
    });
    assert_eq!(read, u64::from(EVENTS));
}

fn retry_success() {
    let breaker = Breaker::new(5, Duration::from_secs(1)).expect("is valid");
    let retry = Retry::new(Counter::default(), breaker);
    measured(&mut || write_all(&retry));
    assert_eq!(retry.get_ref().count(), u64::from(EVENTS));
}
