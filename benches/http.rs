//! The HTTP sink beside a plain loop over the same client, to the same receiver.

use benches::{bench, works};

fn main() {
    let mut criterion = bench::criterion();
    bench::compare(&mut criterion, &works::http(1_000));
    criterion.final_summary();
}
