//! What the benches have in common.

use std::time::Duration;

use criterion::{Criterion, Throughput};

use crate::contest::Contest;

/// Few and short samples: each run of a contest sets up threads and tasks anew.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

/// Has the peers in each work compete, a group for each work.
pub fn compare(criterion: &mut Criterion, contests: &[Contest]) {
    for works in contests.chunk_by(|a, b| a.work == b.work) {
        let mut group = criterion.benchmark_group(&works[0].work);
        for contest in works {
            group.throughput(Throughput::Elements(contest.events as u64));
            group.bench_function(contest.peer, |bencher| {
                bencher.iter_custom(|runs| (0..runs).map(|_| contest.run()).sum());
            });
        }
        group.finish();
    }
}
