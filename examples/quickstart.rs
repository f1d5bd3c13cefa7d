//! The smallest sink: one that remembers what it was told.

use events_core::{Close, Memory, Sink, SinkError};

fn main() -> Result<(), SinkError> {
    let sink = Memory::new();
    sink.write("started")?;
    sink.write("stopped")?;
    sink.close().wait()?;
    println!("{} events: {}", sink.len(), sink.events().join(", "));
    Ok(())
}
