//! A log that goes to a queue and does not feed itself.
//!
//! What a sink logs while it is written to is an event for the log, whose delivery logs again: without
//! care one line turns into hundreds of thousands a second. The layer leaves out what comes from
//! inside a delivery, and what it has to leave out by name: the connections of an HTTP client live in
//! tasks of their own. Another layer, one that prints to the standard error, would show both.

use std::{
    fmt::{Debug, Write},
    sync::Arc,
};

use events_core::{Close, Memory, Sink, SinkError, is_delivering, sink_fn};
use events_queue::{Overflow, Queue};
use tracing::{Event, Subscriber, field::Field};
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// What logs from threads and tasks of its own.
const CARRIERS: &[&str] = &["h2", "hyper", "hyper_util", "reqwest", "rustls"];

/// Writes each event as one line.
struct Log(Queue<String>);

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        let carries = |carrier: &&str| target.split("::").next() == Some(*carrier);
        if is_delivering() || CARRIERS.iter().any(carries) {
            return;
        }
        let mut line = format!("{} {target}", event.metadata().level());
        event.record(&mut |field: &Field, value: &dyn Debug| {
            let _infallible = write!(line, " {field}={value:?}");
        });
        // A log has nobody to tell of its own errors; the queue counts what it drops.
        drop(self.0.write(&line));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lines = Arc::new(Memory::<String>::new());
    let kept = Arc::clone(&lines);
    // As bad as can be: it logs each line that it is given, and refuses every other one.
    let sink = sink_fn(move |line: &String| {
        tracing::info!("sends {line}");
        kept.write(line)?;
        if kept.len().is_multiple_of(2) { Err(SinkError::rejected("even")) } else { Ok(()) }
    });
    // A log must not hold up the program, so it drops what its destination is too slow for.
    let queue =
        Queue::builder().name("log").capacity(1_000).overflow(Overflow::DropNewest).spawn(sink)?;
    tracing::subscriber::set_global_default(
        tracing_subscriber::registry().with(Log(queue.clone())),
    )?;

    for request in 0..100 {
        tracing::info!(request, "answered");
    }
    tracing::info!(target: "hyper::proto", "flushed 120 bytes");
    // All of it is delivered while the log is still open to what the deliveries say.
    queue.flush().wait()?;
    // What was refused was in nobody's hands, and the close says so.
    let refused = queue.close().wait().err().and_then(|error| error.undelivered());
    assert_eq!(refused, Some(50));

    let lines = lines.events();
    assert_eq!(lines.len(), 100, "one line each, and none of the log's own: {lines:?}");
    assert_eq!(lines[7], "INFO logs message=answered request=7");
    println!("{} lines, {} of them refused", lines.len(), queue.stats().failed);
    Ok(())
}
