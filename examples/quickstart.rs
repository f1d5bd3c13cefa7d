//! A pipeline on threads: two destinations, of which one fails now and then.

use std::{error::Error, sync::Arc, time::Duration};

use events_broadcast::Broadcaster;
use events_core::{Breaker, Close, Memory, Sink, SinkError, sink_fn};
use events_queue::Queue;
use events_retry::Retry;

fn main() -> Result<(), Box<dyn Error>> {
    let archive = Arc::new(Memory::new());

    // Any closure is a sink. This one takes an event at its third attempt.
    let mailed = Arc::new(Memory::new());
    let mailbox = Arc::clone(&mailed);
    let attempts = std::sync::atomic::AtomicU32::new(0);
    let flaky = sink_fn(move |event: &String| {
        if attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 < 2 {
            return Err(SinkError::unavailable("the mail server is busy"));
        }
        mailbox.write(event)
    });

    // Left of a queue nothing waits; right of it, retries may.
    let all = Broadcaster::new();
    all.add(Arc::new(Queue::spawn(Arc::clone(&archive))))?;
    let retry = Retry::new(flaky, Breaker::new(2, Duration::from_millis(10))?);
    all.add(Arc::new(Queue::spawn(retry)))?;

    for step in ["built", "tested", "deployed"] {
        all.write(&step.to_owned())?;
    }
    all.close().wait()?;

    assert_eq!(archive.events(), ["built", "tested", "deployed"]);
    assert_eq!(mailed.events(), archive.events());
    println!("archived and mailed: {}", archive.events().join(", "));
    Ok(())
}
