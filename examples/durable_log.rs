//! A shop writes what happens to one log on the disk; an audit trail, web hooks and a late reader each
//! read it at their own pace.
//!
//!     cargo run --release --example durable_log

use std::{error::Error, sync::Arc, time::Duration};

use events_core::{Close, Memory, Sink, SinkError, sink_fn};
use events_durable::{DurableLog, Plain, Retention, Schedule, Start, Stored};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: u32,
    item: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let log = DurableLog::<Order>::builder(dir.path().join("shop.db"))
        // What every consumer has is kept for a day more, for whoever comes late.
        .retention(Retention::until_settled().or(Retention::age(Duration::from_hours(24))))
        .open()?;

    // In order, one by one.
    let trail = Arc::new(Memory::new());
    let audit = log.consumer("audit").spawn(Plain::new(Arc::clone(&trail)))?;

    // Eight at a time, in order for each customer. The second attempt goes through.
    let endpoint = sink_fn(|order: &Stored<Order>| {
        if order.item == "hat" && order.attempts() == 0 {
            return Err(SinkError::unavailable("503 Service Unavailable"));
        }
        println!("posted {} of customer {} as {}", order.item, order.customer, order.id());
        Ok(())
    });
    let hooks = log
        .consumer("hooks")
        .concurrency(8)
        .ordered_by(|order: &Order| order.customer)
        .redeliver(Schedule::delays([Duration::from_millis(50); 3]))
        .spawn(endpoint)?;

    let order = |customer, item: &str| Order { customer, item: item.to_owned() };
    log.write(&order(1, "hat"))?; // on the disk, whatever happens now
    log.write([order(2, "tea"), order(1, "scarf")].as_slice())?; // both or none
    audit.flush().wait()?;
    hooks.flush().wait()?;
    assert_eq!(trail.len(), 3);
    let stats = hooks.stats();
    println!("hooks: {} attempts, {} delivered", stats.attempts, stats.delivered);

    for event in log.read(Start::Last(2))?.history() {
        let event = event?;
        println!("a late reader finds {}, {}", event.item, event.id());
    }
    let first = log.read(Start::Earliest)?.next().ok_or("an event")??;
    for standing in log.history(first.id())?.ok_or("it is kept")?.consumers {
        let (who, attempts) = (standing.consumer, standing.attempts.len());
        println!("{}: {who} {:?}, after {attempts} failures", first.item, standing.state);
    }
    log.close().wait()?;
    Ok(())
}
