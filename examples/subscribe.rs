//! Code that pulls events: as an iterator, as a stream, and too slowly.

use std::{error::Error, thread};

use events_broadcast::{Broadcaster, Lag};
use events_core::{AsyncSink, Close};
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let all = Broadcaster::new();

    // On a thread a subscription is an iterator, and ends when the broadcaster closes.
    let numbers = all.subscribe();
    let sum = thread::spawn(move || numbers.into_iter().flatten().sum::<u64>());

    // In a task it can be a stream, with all that streams can do.
    let stream = all.subscribe();

    // Its memory has a bound here, and who is slower than the writer is told what it missed.
    let mut latest = all.subscriber().lag(Lag::DropOldest(3)).subscribe()?;

    for number in 1..=100 {
        all.write(&number).await?;
    }
    all.close().await?;

    assert_eq!(sum.join().expect("the thread adds"), 5_050);

    let sizes = stream.chunks(30).map(|chunk| chunk.len());
    assert_eq!(sizes.collect::<Vec<_>>().await, [30, 30, 30, 10]);

    let mut received = Vec::new();
    while let Some(item) = latest.recv().await {
        match item {
            Ok(number) => received.push(number),
            Err(missed) => assert_eq!(missed.count(), 97),
        }
    }
    assert_eq!(received, [98, 99, 100]);
    println!("the sum is 5050; the slow one missed {} of 100", latest.missed());
    Ok(())
}
