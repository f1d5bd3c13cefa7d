//! Queues beside channels with a thread or a task.

use benches::{bench, works};

fn main() {
    let mut criterion = bench::criterion();
    for producers in [1, 4] {
        bench::compare(&mut criterion, &works::queue(producers, works::TOTAL / 10));
    }
    criterion.final_summary();
}
