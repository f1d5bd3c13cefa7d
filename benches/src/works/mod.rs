//! The works, and who does each.
#![expect(clippy::missing_panics_doc, reason = "a contest that goes wrong ends the program")]

mod broadcast;
mod concurrent;
mod durable;
mod http;
pub mod memory;
mod queue;
mod retry;

pub use broadcast::{SPARSE, SUBSCRIBERS, direct, queued, sparse, write};
pub use concurrent::{IN_FLIGHT, KEYS, concurrent, ordered};
pub use durable::{drain, durable};
pub use http::http;
pub use queue::queue;
pub use retry::retry;

use crate::contest::Contest;

/// How many writes to sinks one run of one work makes.
pub const TOTAL: usize = 2_000_000;

/// How many events one run posts; a request costs as much as thousands of writes.
const HTTP: usize = 5_000;

/// How many events one run puts on the disk, where 64 of them share a commit.
const DURABLE: usize = 48_000;

/// Every work on the clock, with `share` of its events: 1 is all of them.
pub fn all(share: usize) -> Vec<Contest> {
    let mut all = vec![];
    all.extend(retry(TOTAL / 10 / share));
    for producers in [1, 4] {
        all.extend(queue(producers, TOTAL / share));
    }
    for in_flight in IN_FLIGHT {
        all.extend(concurrent(in_flight, TOTAL / 4 / share));
    }
    for keys in KEYS {
        all.extend(ordered(keys, TOTAL / 4 / share));
    }
    for subscribers in SUBSCRIBERS {
        let events = (TOTAL / subscribers).min(200_000).div_ceil(share);
        all.extend(direct(subscribers, events));
        all.extend(queued(subscribers, events));
        // More of them, since the writer alone is done with a few before anything else happens.
        let events = (10 * TOTAL / subscribers).min(200_000).div_ceil(share);
        all.extend(write(subscribers, events));
    }
    for subscribers in SPARSE {
        let events = (500_000 / subscribers).min(20_000).div_ceil(share);
        all.extend(sparse(subscribers, events));
    }
    all.extend(http(HTTP / share));
    all.extend(durable(64, DURABLE / share));
    all.extend(durable(1, DURABLE / 24 / share));
    all.extend(drain(DURABLE / share));
    all
}
