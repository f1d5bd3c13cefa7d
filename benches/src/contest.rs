//! One work as one peer does it.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// What is on the clock. It returns what is not any more: checks, and taking things apart.
pub type Job = Box<dyn FnOnce() -> After>;

/// What follows a [`Job`], off the clock.
pub type After = Box<dyn FnOnce()>;

/// One work as one peer does it.
pub struct Contest {
    /// The work's name, the same for all peers.
    pub work: String,
    /// Who does it.
    pub peer: &'static str,
    /// How many events one run writes.
    pub events: usize,
    prepare: Box<dyn Fn() -> Job>,
}

impl Contest {
    /// A contest whose runs are set up by `prepare`.
    pub fn new(
        work: impl Into<String>,
        peer: &'static str,
        events: usize,
        prepare: impl Fn() -> Job + 'static,
    ) -> Self {
        Self { work: work.into(), peer, events, prepare: Box::new(prepare) }
    }

    /// How long one run takes.
    pub fn run(&self) -> Duration {
        let job = (self.prepare)();
        let start = Instant::now();
        let after = job();
        let took = start.elapsed();
        after();
        took
    }

    /// The median of what its runs took, in nanoseconds an event.
    #[expect(clippy::cast_precision_loss, reason = "no run writes 2^53 events")]
    fn median(&self, mut times: Vec<Duration>) -> f64 {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e9 / self.events as f64
    }
}

/// The median of so many runs of each, at least one, in nanoseconds an event.
///
/// They run in turn, so that what slows the machine down for a while slows down all of them.
pub fn medians(contests: &[&Contest], runs: usize) -> Vec<f64> {
    let mut times = vec![Vec::new(); contests.len()];
    for _ in 0..runs.max(1) {
        for (contest, times) in contests.iter().zip(&mut times) {
            times.push(contest.run());
        }
    }
    contests.iter().zip(times).map(|(contest, times)| contest.median(times)).collect()
}

impl fmt::Debug for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.work, self.peer)
    }
}
