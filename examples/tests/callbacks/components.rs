//! Every component of the family that tells something, where it has the most to tell.

use std::{panic::panic_any, path::Path, sync::Arc, thread, time::Duration};

use events_broadcast::{Broadcaster, Lag};
use events_core::{
    AsyncSink, Breaker, Close, Closing, DeadLetter, MaxAttempts, Sink, SinkError,
    engine::park::block_on, sink_fn,
};
use events_durable::{Durability, DurableQueue, Plain, Schedule};
use events_queue::{Builder, Overflow, Queue, Single};
use events_retry::{AdaptiveLimit, Retry};

use crate::{Component, check};

const EVENTS: u64 = 2_000;
pub(crate) const ON_PURPOSE: &str = "this is meant to happen";

/// Refuses, fails or panics, in turn; its abort panics.
struct Bad;

impl Bad {
    fn take(event: u64) -> Result<(), SinkError> {
        match event % 4 {
            0 => Ok(()),
            1 => Err(SinkError::rejected("odd")),
            2 => Err(SinkError::unavailable("never")),
            _ => panic_any(ON_PURPOSE),
        }
    }
}

impl Close for Bad {
    fn close(&self) -> Closing<'_> {
        Closing::new(async { panic_any(ON_PURPOSE) })
    }

    fn abort(&self) {
        panic_any(ON_PURPOSE)
    }
}

impl Sink<u64> for Bad {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        Self::take(*event)
    }
}

impl AsyncSink<u64> for Bad {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        Self::take(*event)
    }
}

impl Sink<[u64]> for Bad {
    fn write(&self, events: &[u64]) -> Result<(), SinkError> {
        events.iter().try_for_each(|event| Self::take(*event))
    }
}

impl AsyncSink<[u64]> for Bad {
    async fn write(&self, events: &[u64]) -> Result<(), SinkError> {
        events.iter().try_for_each(|event| Self::take(*event))
    }
}

fn dead_letter() -> impl Sink<DeadLetter<u64>> {
    sink_fn(|letter: &DeadLetter<u64>| match letter.event % 3 {
        0 => Ok(()),
        1 => Err(SinkError::rejected("not even here")),
        _ => panic_any(ON_PURPOSE),
    })
}

fn queue(queue: Queue<u64>, start: impl Fn() + Send + Sync + 'static) -> Component {
    let [touched, closed, aborted] = [(); 3].map(|()| queue.clone());
    Component {
        touch: Box::new(move || {
            drop(Sink::write(&touched, &7));
            drop(touched.flush());
            assert!(touched.stats().accepted > 0);
            assert!(format!("{touched:?}").contains("queue"));
        }),
        close: Box::new(move || drop(closed.close())),
        abort: Box::new(move || aborted.abort()),
        act: Box::new(move || {
            // Before there is a worker, so that the queue is full and its worker lags.
            write_all(&queue);
            start();
            write_all(&queue);
            let _what_is_left = queue.flush().wait();
            let _in_time_or_not = queue.close_within(Duration::from_millis(1)).wait();
            queue.abort();
            let stats = queue.stats();
            assert_eq!(stats.pending, 0);
            let settled = stats.delivered + stats.failed + stats.dropped.total();
            assert_eq!(stats.accepted, settled, "{stats:?}");
        }),
    }
}

/// Some writes are refused, when the subscriber has closed or aborted.
fn write_all(sink: &impl Sink<u64>) {
    for event in 0..EVENTS {
        drop(sink.write(&event));
    }
}

/// A queue whose worker is a future, run on a thread once told to.
fn on_a_thread(builder: Builder<u64, Single>) -> Component {
    let (of_pair, worker) = builder.dead_letter(dead_letter()).pair(Bad).unwrap();
    let worker = std::sync::Mutex::new(Some(worker));
    queue(of_pair, move || {
        if let Some(worker) = worker.lock().unwrap().take() {
            thread::spawn(|| block_on(worker));
        }
    })
}

#[test]
fn a_queue() {
    check(|| on_a_thread(Queue::builder()));
    check(|| queue(Queue::builder().dead_letter(dead_letter()).spawn(Bad).unwrap(), || {}));
    check(|| {
        let blocks = Queue::builder().capacity(1).dead_letter(dead_letter());
        queue(blocks.spawn(Bad).unwrap(), || {})
    });
}

#[test]
fn a_queue_that_drops_the_newest() {
    check(|| on_a_thread(Queue::builder().capacity(2).overflow(Overflow::DropNewest)));
}

#[test]
fn a_queue_that_drops_the_oldest() {
    check(|| on_a_thread(Queue::builder().capacity(2).overflow(Overflow::DropOldest)));
}

#[test]
fn a_queue_of_batches() {
    check(|| {
        let batches = Queue::builder().dead_letter(dead_letter()).batch(3, Duration::ZERO);
        queue(batches.spawn(Bad).unwrap(), || {})
    });
}

/// The runtime outlives the queue, whose handles are gone at the end.
#[test]
fn a_queue_in_a_task() {
    check(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let entered = runtime.enter();
        let spawned = Queue::builder().dead_letter(dead_letter()).spawn_tokio(Bad).unwrap();
        drop(entered);
        queue(spawned, move || drop(runtime.handle().clone()))
    });
}

/// Its committer and its loader tell as well, and nobody else could end a wait of theirs.
fn durable(
    builder: impl Fn(&Path) -> events_durable::Builder<u64, events_durable::Single>,
) -> Component {
    let dir = tempfile::tempdir().unwrap();
    let queue = builder(&dir.path().join("events.db")).spawn(Plain::new(Bad)).unwrap();
    let [touched, closed, aborted] = [(); 3].map(|()| queue.clone());
    Component {
        touch: Box::new(move || {
            drop(Sink::write(&touched, &7));
            drop(touched.flush());
            touched.stats();
            assert!(format!("{touched:?}").contains("queue"));
        }),
        close: Box::new(move || drop(closed.close())),
        abort: Box::new(move || aborted.abort()),
        act: Box::new(move || {
            for event in 0..EVENTS / 20 {
                drop(Sink::write(&queue, &event));
            }
            let _what_is_left = queue.flush().wait();
            let _in_time_or_not = queue.close_within(Duration::from_millis(1)).wait();
            queue.abort();
            let stats = queue.stats();
            let settled = stats.delivered + stats.failed + stats.dropped.total();
            assert_eq!(stats.accepted, settled + stats.pending, "{stats:?}");
            assert!(dir.path().exists());
        }),
    }
}

#[test]
fn a_durable_queue() {
    check(|| durable(|path| DurableQueue::builder(path).durability(Durability::Normal).no_retry()));
    check(|| {
        durable(|path| {
            let soon = Schedule::delays([Duration::from_millis(1)]);
            DurableQueue::builder(path)
                .durability(Durability::Normal)
                .concurrency(3)
                .redeliver(soon)
        })
    });
}

#[test]
fn a_durable_queue_that_drops() {
    fn full(
        path: &Path,
        overflow: Overflow,
    ) -> events_durable::Builder<u64, events_durable::Single> {
        let builder = DurableQueue::builder(path).durability(Durability::Normal);
        builder.capacity(3).overflow(overflow).no_retry()
    }
    check(|| durable(|path| full(path, Overflow::DropOldest)));
    check(|| durable(|path| full(path, Overflow::DropNewest)));
    check(|| durable(|path| full(path, Overflow::Block)));
}

fn broadcaster(all: Broadcaster<u64>) -> Component {
    let [touched, closed, aborted] = [(); 3].map(|()| all.clone());
    Component {
        touch: Box::new(move || {
            drop(Sink::write(&touched, &7));
            drop(touched.flush());
            touched.stats();
            assert!(!format!("{touched:?}").is_empty());
        }),
        close: Box::new(move || drop(closed.close())),
        abort: Box::new(move || aborted.abort()),
        act: Box::new(move || {
            let mut lags = all.subscriber().lag(Lag::DropOldest(10)).subscribe().unwrap();
            let mut ends = all.subscriber().lag(Lag::Disconnect(10)).subscribe().unwrap();
            for _ in 0..3 {
                write_all(&all);
                while lags.try_recv().is_some() || ends.try_recv().is_some() {}
            }
            let _panicked = all.close_within(Duration::from_millis(1)).wait();
            all.abort();
        }),
    }
}

#[test]
fn a_broadcaster_with_direct_sinks() {
    check(|| {
        let all = Broadcaster::new();
        all.add(Arc::new(Bad)).unwrap();
        all.add(Arc::new(sink_fn(|_: &u64| Err(SinkError::rejected("all of them"))))).unwrap();
        broadcaster(all)
    });
}

#[test]
fn a_broadcaster_with_threads() {
    check(|| {
        let all = Broadcaster::new();
        for lag in [Lag::Unbounded, Lag::DropOldest(1), Lag::Disconnect(100)] {
            all.subscriber().lag(lag).dead_letter(dead_letter()).spawn(Bad).unwrap();
        }
        broadcaster(all)
    });
}

fn writer(sink: impl Sink<u64> + 'static) -> Component {
    let sink = Arc::new(sink);
    let [touched, closed, aborted] = [(); 3].map(|()| Arc::clone(&sink));
    Component {
        touch: Box::new(move || drop(touched.write(&2))),
        close: Box::new(move || drop(closed.close())),
        abort: Box::new(move || aborted.abort()),
        act: Box::new(move || {
            for _ in 0..EVENTS {
                drop(sink.write(&2));
            }
        }),
    }
}

fn never() -> impl Sink<u64> {
    sink_fn(|_: &u64| Err(SinkError::unavailable("never")))
}

#[test]
fn a_retry() {
    check(|| {
        let breaker = Breaker::new(2, Duration::from_nanos(1)).unwrap();
        writer(Retry::new(never(), MaxAttempts::new(breaker, 3).unwrap()))
    });
}

#[test]
fn an_adaptive_limit() {
    check(|| writer(AdaptiveLimit::new(never(), 4).unwrap()));
}
