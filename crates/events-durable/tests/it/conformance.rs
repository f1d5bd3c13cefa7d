use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use events_core::conformance::{Destination, Suite};
use events_durable::{DurableLog, DurableQueue, Overflow, Plain, Schedule};
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

/// A log whose one consumer delivers to the destination.
#[test]
fn a_log_on_threads() {
    let file = files();
    Suite::wrapper(move |destination| {
        let log = DurableLog::<u64>::open(file()).unwrap();
        log.consumer("conformance").spawn(Plain::new(destination)).unwrap();
        log
    })
    .run();
}

#[test]
fn a_log_in_tasks() {
    let file = files();
    Suite::async_wrapper(move |destination| {
        let log = DurableLog::<u64>::open(file()).unwrap();
        let (_consumer, delivery) =
            log.consumer("conformance").pair(Plain::new(destination)).unwrap();
        std::thread::spawn(|| events_core::engine::park::block_on(delivery));
        log
    })
    .run();
}

#[test]
fn with_redelivery_and_keys() {
    let file = files();
    Suite::wrapper(move |destination| {
        let log = DurableLog::<u64>::open(file()).unwrap();
        log.consumer("conformance")
            .concurrency(2)
            .ordered_by(|_: &u64| 0)
            .redeliver(Schedule::delays([std::time::Duration::from_millis(1); 2]))
            .spawn(Plain::new(destination))
            .unwrap();
        log
    })
    .run();
}
