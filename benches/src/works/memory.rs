//! What things weigh: bytes of live heap, as the global allocator counts them.

use std::sync::Arc;

use events_broadcast::Broadcaster;
use events_core::{Close, Sink};
use events_queue::Queue;
use tokio::sync::{broadcast, mpsc};

use crate::{
    Counter, Event, Stuck,
    runtime::{runtime, settle},
};

/// How many of a thing are weighed.
const THINGS: usize = 10_000;
/// How many events are in the backlog that is weighed.
const BACKLOG: usize = 1_000_000;

/// One thing as one peer has it.
pub struct Weighing {
    /// The work's name.
    pub work: &'static str,
    /// Whose it is.
    pub peer: &'static str,
    weigh: fn(&dyn Fn() -> usize) -> usize,
}

impl Weighing {
    /// Bytes each. `heap` says how many are allocated.
    pub fn bytes(&self, heap: &dyn Fn() -> usize) -> usize {
        (self.weigh)(heap)
    }
}

impl std::fmt::Debug for Weighing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.work, self.peer)
    }
}

/// All of them.
pub const ALL: &[Weighing] = &[
    Weighing { work: "memory/idle-queue", peer: "events", weigh: idle_queue },
    Weighing { work: "memory/idle-queue", peer: "tokio mpsc", weigh: idle_mpsc },
    Weighing { work: "memory/subscription", peer: "events", weigh: subscription },
    Weighing { work: "memory/subscription", peer: "events (spawn_tokio)", weigh: delivery },
    Weighing { work: "memory/subscription", peer: "tokio broadcast", weigh: receiver },
    Weighing { work: "memory/backlog", peer: "events", weigh: backlog },
    Weighing { work: "memory/backlog", peer: "tokio mpsc", weigh: backlog_mpsc },
    Weighing { work: "memory/backlog", peer: "crossbeam", weigh: backlog_crossbeam },
    Weighing { work: "memory/backlog", peer: "flume", weigh: backlog_flume },
];

/// Weighs what `make` makes, once its tasks have come to rest.
fn weigh<T>(heap: &dyn Fn() -> usize, make: impl Fn() -> T) -> usize {
    let runtime = runtime();
    let _inside = runtime.enter();
    let before = heap();
    let things: Vec<T> = (0..THINGS).map(|_| make()).collect();
    settle();
    let each = heap().saturating_sub(before).div_ceil(THINGS);
    drop(things);
    each
}

/// Its sink and its task are part of it.
fn idle_queue(heap: &dyn Fn() -> usize) -> usize {
    weigh(heap, || Queue::<Event>::spawn_tokio(Counter::default()))
}

fn idle_mpsc(heap: &dyn Fn() -> usize) -> usize {
    weigh(heap, || {
        let (tx, mut rx) = mpsc::unbounded_channel::<Event>();
        let sink = Counter::default();
        tokio::spawn(async move {
            while let Some(event) = rx.recv().await {
                Sink::write(&sink, &event).expect("takes everything");
            }
        });
        tx
    })
}

fn subscription(heap: &dyn Fn() -> usize) -> usize {
    let all = Broadcaster::<Event>::new();
    weigh(heap, || all.subscribe())
}

/// Its sink and its share in a task are part of it.
fn delivery(heap: &dyn Fn() -> usize) -> usize {
    let all = Broadcaster::<Event>::new();
    weigh(heap, || all.spawn_tokio(Counter::default()))
}

fn receiver(heap: &dyn Fn() -> usize) -> usize {
    let tx = broadcast::Sender::<Event>::new(16);
    weigh(heap, || tx.subscribe())
}

/// Weighs what `write` leaves behind for each event, which is behind an `Arc`.
fn pile(heap: &dyn Fn() -> usize, mut write: impl FnMut(&Arc<Event>)) -> usize {
    let event = Arc::new(Event::sample());
    let before = heap();
    for _ in 0..BACKLOG {
        write(&event);
    }
    heap().saturating_sub(before).div_ceil(BACKLOG)
}

fn backlog(heap: &dyn Fn() -> usize) -> usize {
    let runtime = runtime();
    let _inside = runtime.enter();
    let sink = Arc::new(Stuck::default());
    let queue = Queue::spawn_tokio(Arc::clone(&sink));
    let bytes = pile(heap, |event| Sink::write(&queue, event).expect("is open"));
    sink.release();
    runtime.block_on(async { queue.close().await }).expect("closes well");
    bytes
}

fn backlog_mpsc(heap: &dyn Fn() -> usize) -> usize {
    let (tx, _rx) = mpsc::unbounded_channel();
    pile(heap, |event| tx.send(event.clone()).expect("is open"))
}

fn backlog_crossbeam(heap: &dyn Fn() -> usize) -> usize {
    let (tx, _rx) = crossbeam_channel::unbounded();
    pile(heap, |event| tx.send(event.clone()).expect("is open"))
}

fn backlog_flume(heap: &dyn Fn() -> usize) -> usize {
    let (tx, _rx) = flume::unbounded();
    pile(heap, |event| tx.send(event.clone()).expect("is open"))
}
