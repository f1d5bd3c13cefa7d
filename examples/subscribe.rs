//! Code that pulls events: as an iterator, as a stream, and too slowly.

use std::{error::Error, thread};

use events_broadcast::{Broadcaster, Lag, Missed};
use events_core::{AsyncSink, Close};
use futures_util::{StreamExt, future};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let all = Broadcaster::new();

    // On a thread a subscription is an iterator; it ends when the broadcaster closes.
    let numbers = all.subscribe();
    let sum = thread::spawn(move || numbers.flatten().sum::<u64>());

    // In a task it is a stream, with all that streams can do.
    let mut even = all.subscribe().filter_map(|number| future::ready(number.ok())).filter(|number| {
        future::ready(number % 2 == 0)
    });

    // Memory has a bound here, and who is slower than the writer is told what it missed.
    let mut latest = all.subscriber().lag(Lag::DropOldest(3)).subscribe()?;

    for number in 1..=100 {
        all.write(&number).await?;
    }
    all.close().await?;

    assert_eq!(sum.join().expect("the thread adds"), 5_050);
    assert_eq!(even.by_ref().count().await, 50);
    assert_eq!(latest.next().await, Some(Err(Missed(97))));
    let rest: Vec<_> = latest.collect().await;
    assert_eq!(rest, [Ok(98), Ok(99), Ok(100)]);
    println!("the sum is 5050, 50 are even, and the last three are 98, 99 and 100");
    Ok(())
}
