//! Broadcasters beside channels for many: on the writer's thread, in tasks and on threads, and
//! with one event in flight.

use benches::{bench, works};

fn main() {
    let mut criterion = bench::criterion();
    for subscribers in works::SUBSCRIBERS {
        let events = works::TOTAL / 10 / subscribers;
        bench::compare(&mut criterion, &works::direct(subscribers, events));
        bench::compare(&mut criterion, &works::queued(subscribers, events));
    }
    for subscribers in works::SPARSE {
        let events = (works::TOTAL / 10 / subscribers).min(1_000);
        bench::compare(&mut criterion, &works::sparse(subscribers, events));
    }
    criterion.final_summary();
}
