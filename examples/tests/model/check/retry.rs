//! A retry: what it answers is what its last attempt was answered.

use crate::{found::Retried, journal::Call};

pub(super) fn problems(retried: &Retried) -> Vec<String> {
    let mut problems = Vec::new();
    let attempts = retried.exit.calls();
    for call in retried.entry.calls() {
        let is_ours = |attempt: &&Call| {
            attempt.events == call.events
                && attempt.began > call.began
                && attempt.ended < call.ended
        };
        let taken = |attempt: &Call| matches!(attempt.answer, Some(Ok(())));
        let ours: Vec<_> = attempts.iter().filter(is_ours).collect();
        let times = ours.iter().filter(|attempt| taken(attempt)).count();
        let ends_well = ours.last().is_some_and(|attempt| taken(attempt));
        let event = call.events[0];
        match &call.answer {
            Some(Ok(())) if times != 1 || !ends_well => {
                problems.push(format!("{event:?} was taken, but its attempts were {ours:?}"));
            }
            Some(Err(_)) if times > 0 => {
                problems.push(format!("{event:?} was refused, and an attempt took it"));
            }
            None if times > 1 => problems.push(format!("{event:?} was taken {times} times")),
            _ => {}
        }
    }
    if let Some(stats) = retried.stats() {
        let taken = attempts.iter().filter(|call| matches!(call.answer, Some(Ok(())))).count();
        if !retried.has_counted() || stats.successes != taken as u64 {
            problems.push(format!("{taken} of {} attempts, but {stats:?}", attempts.len()));
        }
    }
    problems
}
