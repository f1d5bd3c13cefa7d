//! The circuit under the breaker: one probe, whoever meets.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use events_core::{Breaker, Progress, RetryStrategy, SinkError, Verdict};
use loom::thread;

use crate::check;

const BACKOFF: Duration = Duration::from_secs(10);

/// A breaker that opened at `start`, with a write whose attempt began before and is not answered.
fn opened(start: Instant) -> (Breaker, Progress) {
    let breaker = Breaker::new(1, BACKOFF).unwrap();
    let [mut early, mut failed] = [Progress::at(start), Progress::at(start)];
    for write in [&mut early, &mut failed] {
        assert_eq!(breaker.proceed("event", write), Verdict::Go);
        write.begin(Verdict::Go);
    }
    fail(&breaker, &mut failed);
    (breaker, early)
}

fn fail(breaker: &Breaker, write: &mut Progress) {
    write.fail(SinkError::unavailable("down"));
    breaker.failure("event", write);
}

/// Asks once, after the deadline, and answers with `answer` if it may go.
fn attempt(breaker: &Breaker, at: Instant, answer: fn(&Breaker, &mut Progress)) -> Verdict {
    let mut write = Progress::at(at);
    let verdict = breaker.proceed("event", &write);
    if let Verdict::Go | Verdict::Probe = verdict {
        write.begin(verdict);
        answer(breaker, &mut write);
    }
    verdict
}

fn two_after_the_deadline(answer: fn(&Breaker, &mut Progress)) -> [Verdict; 2] {
    let start = Instant::now();
    let (breaker, early) = opened(start);
    let breaker = Arc::new(breaker);
    let other = Arc::clone(&breaker);
    let late = thread::spawn(move || other.success("event", &early));
    let other = Arc::clone(&breaker);
    let second = thread::spawn(move || attempt(&other, start + BACKOFF, answer));
    let verdicts = [attempt(&breaker, start + BACKOFF, answer), second.join().unwrap()];
    late.join().unwrap();
    verdicts
}

#[test]
fn two_writes_after_the_deadline_are_one_probe() {
    check(3, || {
        let verdicts = two_after_the_deadline(|breaker, write| breaker.success("event", write));
        let probes = verdicts.iter().filter(|verdict| **verdict == Verdict::Probe).count();
        assert_eq!(probes, 1, "{verdicts:?}");
    });
}

#[test]
fn a_probe_that_fails_leaves_the_other_waiting() {
    check(3, || {
        let verdicts = two_after_the_deadline(fail);
        assert!(verdicts.contains(&Verdict::Probe), "{verdicts:?}");
        assert!(verdicts.contains(&Verdict::Wait(BACKOFF)), "{verdicts:?}");
    });
}
