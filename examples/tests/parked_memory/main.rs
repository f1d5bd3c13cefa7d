//! What is parked costs what it is, and keeps nothing else in memory. A program of its own, since it
//! weighs the whole heap.

use std::{alloc::System, time::Duration};

use cap::Cap;
use events_core::{AsyncSink, Close, SinkError};
use events_queue::{Queue, Schedule};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const EVENTS: u64 = 100_000;
/// One of so many is to be delivered again in an hour.
const PARKED: u64 = 100;

/// An event whose size is known.
type Event = [u64; 8];

struct Endpoint;

impl Close for Endpoint {}

impl AsyncSink<Event> for Endpoint {
    async fn write(&self, event: &Event) -> Result<(), SinkError> {
        if event[0].is_multiple_of(PARKED) {
            return Err(SinkError::unavailable("503"));
        }
        Ok(())
    }
}

// By tokio's paused clock: nothing is due before all else has arrived.
#[tokio::test(start_paused = true)]
async fn a_thousand_parked_events_of_a_hundred_thousand_weigh_what_a_thousand_do() {
    let queue = Queue::builder()
        .concurrency(32)
        .redeliver(Schedule::delays([Duration::from_hours(1); 10]))
        .spawn_tokio(Endpoint)
        .unwrap();
    let before = HEAP.allocated();
    for event in 0..EVENTS {
        queue.write(&[event; 8]).await.unwrap();
    }
    let parked = EVENTS / PARKED;
    while queue.stats().pending > parked || queue.stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    let stats = queue.stats();
    assert_eq!((stats.delivered, stats.pending), (EVENTS - parked, parked));
    let weight = HEAP.allocated().saturating_sub(before);
    let each = weight / parked as usize;
    println!("{each} bytes for each parked event of {}", size_of::<Event>());
    // The last chunk and the deliverers' batches are there as well, for less than 20 bytes each.
    assert!(each <= size_of::<Event>() + 100 + 20, "{each} bytes for each parked event");
    queue.abort();
}
