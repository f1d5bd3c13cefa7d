//! Queues beside channels with a thread or a task.

use benches::{bench, works};

fn main() {
    let mut criterion = bench::criterion();
    for producers in [1, 4] {
        bench::compare(&mut criterion, &works::queue(producers, works::TOTAL / 10));
    }
    for in_flight in works::IN_FLIGHT {
        bench::compare(&mut criterion, &works::concurrent(in_flight, works::TOTAL / 10));
    }
    for keys in works::KEYS {
        bench::compare(&mut criterion, &works::ordered(keys, works::TOTAL / 10));
    }
    criterion.final_summary();
}
