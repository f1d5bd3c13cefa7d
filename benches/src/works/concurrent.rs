use std::{sync::Arc, thread};

use events_core::{AsyncSink, Close, Sink};
use events_queue::{Builder, Queue, Single};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    Counter, Event,
    contest::{Contest, Job},
    runtime::{runtime, settle},
};

/// How many events are in flight at a time.
pub const IN_FLIGHT: [usize; 4] = [1, 8, 32, 256];
/// How many keys the events have whose order is kept.
pub const KEYS: [u64; 3] = [1, 100, 10_000];

/// So many events in flight at a time, to a sink that takes each at once: what the scheduling costs.
pub fn concurrent(in_flight: usize, events: usize) -> Vec<Contest> {
    let work = format!("concurrent/{in_flight}");
    let queue = move || Queue::builder().concurrency(in_flight);
    vec![
        in_tasks(work.clone(), "events", events, queue),
        on_threads(work.clone(), "events (threads)", events, queue),
        buffer_unordered(work, in_flight, events),
    ]
}

/// The same with 32 in flight, and those of one key one after the other.
pub fn ordered(keys: u64, events: usize) -> Vec<Contest> {
    let work = format!("ordered/{keys}");
    let queue = move || {
        // The address stands for a key: the event is one and the same.
        let count = std::sync::atomic::AtomicU64::new(0);
        let key = move |_: &Event| count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % keys;
        Queue::builder().concurrency(32).ordered_by(key)
    };
    vec![
        in_tasks(work.clone(), "events", events, queue),
        on_threads(work, "events (threads)", events, queue),
    ]
}

fn in_tasks(
    work: String,
    peer: &'static str,
    events: usize,
    queue: impl Fn() -> Builder<Event, Single> + Clone + 'static,
) -> Contest {
    let prepare = move || -> Job {
        let runtime = runtime();
        let counter = Arc::new(Counter::default());
        let queue = {
            let _inside = runtime.enter();
            queue().spawn_tokio(Arc::clone(&counter)).expect("settings are valid")
        };
        settle();
        let event = Event::sample();
        Box::new(move || {
            runtime.block_on(async {
                runtime
                    .spawn(async move {
                        for _ in 0..events {
                            AsyncSink::write(&queue, &event).await.expect("is open");
                        }
                        queue.close().await.expect("closes well");
                    })
                    .await
                    .expect("ends well");
            });
            Box::new(move || assert_eq!(counter.count(), events as u64))
        })
    };
    Contest::new(work, peer, events, prepare)
}

fn on_threads(
    work: String,
    peer: &'static str,
    events: usize,
    queue: impl Fn() -> Builder<Event, Single> + Clone + 'static,
) -> Contest {
    let prepare = move || -> Job {
        let counter = Arc::new(Counter::default());
        let queue = queue().spawn(Arc::clone(&counter)).expect("settings are valid");
        settle();
        let event = Event::sample();
        Box::new(move || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..events {
                        Sink::write(&queue, &event).expect("is open");
                    }
                });
            });
            queue.close().wait().expect("closes well");
            Box::new(move || assert_eq!(counter.count(), events as u64))
        })
    };
    Contest::new(work, peer, events, prepare)
}

/// By hand: tokio's unbounded channel, and a stream that keeps so many futures.
fn buffer_unordered(work: String, in_flight: usize, events: usize) -> Contest {
    let prepare = move || -> Job {
        let runtime = runtime();
        let counter = Arc::new(Counter::default());
        let (tx, mut rx) = mpsc::unbounded_channel::<Event>();
        let sink = Arc::clone(&counter);
        let task = runtime.spawn(async move {
            stream::poll_fn(|cx| rx.poll_recv(cx))
                .map(|event| {
                    let sink = Arc::clone(&sink);
                    async move { AsyncSink::write(&sink, &event).await.expect("takes everything") }
                })
                .buffer_unordered(in_flight)
                .for_each(|()| std::future::ready(()))
                .await;
        });
        settle();
        let event = Event::sample();
        Box::new(move || {
            runtime.block_on(async {
                runtime
                    .spawn(async move {
                        for _ in 0..events {
                            tx.send(event.clone()).expect("is open");
                        }
                        drop(tx);
                        task.await.expect("ends well");
                    })
                    .await
                    .expect("ends well");
            });
            Box::new(move || assert_eq!(counter.count(), events as u64))
        })
    };
    Contest::new(work, "buffer_unordered", events, prepare)
}
