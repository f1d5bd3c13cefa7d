//! Queues on disk beside a bare file.

use benches::{bench, works};

fn main() {
    let mut criterion = bench::criterion();
    for (writers, events) in [(1, 1_000), (64, 6_400)] {
        bench::compare(&mut criterion, &works::durable(writers, events));
    }
    bench::compare(&mut criterion, &works::drain(6_400));
    criterion.final_summary();
}
