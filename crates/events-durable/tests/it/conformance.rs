use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use events_core::conformance::{Destination, Suite};
use events_durable::{DurableQueue, Overflow, Plain};
use tempfile::TempDir;

/// A fresh file for every queue, all gone at the end.
fn files() -> impl Fn() -> std::path::PathBuf + Clone + Send + Sync + 'static {
    let dir = Arc::new(TempDir::new().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    move || dir.path().join(format!("{}.db", count.fetch_add(1, Ordering::Relaxed)))
}

fn spawn(path: std::path::PathBuf, destination: Destination) -> DurableQueue<u64> {
    DurableQueue::spawn(Plain::new(destination), path).unwrap()
}

#[test]
fn on_threads() {
    let file = files();
    Suite::wrapper(move |destination| spawn(file(), destination)).run();
}

#[test]
fn in_tasks() {
    let file = files();
    Suite::async_wrapper(move |destination| spawn(file(), destination)).run();
}

#[test]
fn bounded() {
    for overflow in [Overflow::Block, Overflow::Reject, Overflow::DropOldest, Overflow::DropNewest]
    {
        let file = files();
        Suite::wrapper(move |destination| {
            let queue = DurableQueue::builder(file()).capacity(4).overflow(overflow);
            queue.spawn(Plain::new(destination)).unwrap()
        })
        .lossy()
        .run();
    }
}

#[test]
fn with_a_worker_future() {
    let file = files();
    Suite::async_wrapper(move |destination| {
        let (queue, worker) = DurableQueue::pair(Plain::new(destination), file()).unwrap();
        std::thread::spawn(|| events_core::engine::park::block_on(worker));
        queue
    })
    .run();
}
