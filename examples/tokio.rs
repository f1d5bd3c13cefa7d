//! The same parts in tasks: a slow destination behind a queue, and one that wants batches.

use std::{error::Error, sync::Arc, time::Duration};

use events_broadcast::Broadcaster;
use events_core::{AsyncSink, Close, ExponentialBackoff, MaxAttempts, Memory, SinkError};
use events_queue::Queue;
use events_retry::Retry;

/// Stands for a database that takes a while and fails at first.
#[derive(Default)]
struct Table {
    rows: Memory<[u32]>,
    warm: std::sync::atomic::AtomicBool,
}

impl Close for Table {}

impl AsyncSink<[u32]> for Table {
    async fn write(&self, batch: &[u32]) -> Result<(), SinkError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if !self.warm.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Err(SinkError::unavailable("connecting"));
        }
        AsyncSink::write(&self.rows, batch).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let table = Arc::new(Table::default());
    let backoff = ExponentialBackoff::builder().minimum(Duration::from_millis(10)).build()?;
    let retry = Retry::new(Arc::clone(&table), MaxAttempts::new(backoff, 5)?);
    let queue = Queue::builder().batch(100, Duration::from_millis(5)).spawn_tokio(retry)?;

    let seen = Arc::new(Memory::new());
    let all = Broadcaster::new();
    all.add(Arc::new(queue.clone()))?;
    all.add(Arc::new(Queue::spawn_tokio(Arc::clone(&seen))))?;

    for number in 0..1_000_u32 {
        all.write(&number).await?;
    }
    all.close().await?;

    let expected: Vec<_> = (0..1_000).collect();
    let batches = table.rows.events();
    assert_eq!(batches.concat(), expected);
    assert_eq!(seen.events(), expected);
    assert_eq!(queue.stats().delivered, 1_000);
    println!("1000 rows in {} batches", batches.len());
    Ok(())
}
