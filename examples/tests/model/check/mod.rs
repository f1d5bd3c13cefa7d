//! The model: from what every part was told follows what must have become of each event.

mod account;
mod broadcast;
mod promise;
mod retry;

use std::collections::{BTreeMap, BTreeSet};

use events_core::ErrorKind;

use crate::{
    event::Event,
    journal::{Answer, Call},
    pipeline::Pipeline,
    plan::Plan,
    run::Outcome,
};

type Set = BTreeSet<Event>;

/// What does not hold.
pub(crate) fn all(pipeline: &Pipeline, plan: &Plan, outcome: &Outcome) -> Vec<String> {
    let found = std::mem::take(&mut *pipeline.found.lock());
    let mut problems = std::mem::take(&mut *pipeline.problems.lock());
    problems.extend(nothing_after_the_close(&pipeline.written.calls(), outcome));
    let facts = found.accounts.iter();
    let facts = facts.map(|account| account::Facts::new(account, &found, plan, outcome));
    let facts: Vec<_> = facts.collect();
    for of in &facts {
        let name = &of.account().name;
        problems.extend(of.problems().into_iter().map(|why| format!("{name}: {why}")));
    }
    problems.extend(promise::problems(&found, &facts, outcome));
    if let Some(account) = found.accounts.iter().find(|account| account.name == "first, queue") {
        problems.extend(flushed(account, &pipeline.flushes.lock(), outcome));
    }
    problems.extend(broadcast::problems(&found));
    for retried in &found.retries {
        let why = retry::problems(retried);
        problems.extend(why.into_iter().map(|why| format!("{}: {why}", retried.name)));
    }
    problems
}

/// After the close every write is `Closed`, and whoever closes is told the same.
fn nothing_after_the_close(written: &[Call], outcome: &Outcome) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(closed_at) = outcome.closed_at {
        for call in written.iter().filter(|call| call.began > closed_at) {
            if let Some(answer) = &call.answer
                && answer.as_ref().err().map(events_core::SinkError::kind)
                    != Some(ErrorKind::Closed)
            {
                let event = call.events[0];
                problems.push(format!("written after the close: {event:?}, told {answer:?}"));
            }
        }
    }
    if let Some(Err(error)) = &outcome.result
        && error.kind() == ErrorKind::WouldDeadlock
    {
        problems.push(format!("the close was refused: {error:?}"));
    }
    if let (Some(one), Some(other)) = (&outcome.result, &outcome.told_another) {
        let kind = |result: &Result<(), events_core::SinkError>| {
            result.as_ref().map_err(events_core::SinkError::kind).copied()
        };
        if kind(one) != kind(other) {
            problems.push(format!("two closers were told {one:?} and {other:?}"));
        }
    }
    problems
}

/// What a flush waited for was settled before it ended.
fn flushed(
    account: &crate::found::Account,
    flushes: &[(u64, u64)],
    outcome: &Outcome,
) -> Vec<String> {
    let calls = account.exit.calls();
    let delivered: BTreeMap<Event, u64> = calls
        .iter()
        .flat_map(|call| call.events.iter().map(|event| (*event, call.ended)))
        .collect();
    let mut problems = Vec::new();
    for (began, ended) in flushes {
        if outcome.aborted_at.is_some_and(|aborted_at| aborted_at < *ended) {
            continue;
        }
        let written = account.entry.calls();
        let before = written.iter().filter(|call| call.ended < *began);
        for call in before.filter(|call| matches!(call.answer, Some(Ok(())))) {
            let event = call.events[0];
            if delivered.get(&event).is_some_and(|at| at > ended) {
                problems.push(format!("{}: flushed before {event:?} was settled", account.name));
            }
        }
    }
    problems
}

/// Each event that was offered, with the answer; whoever was offered twice is told.
fn offered(calls: &[Call], problems: &mut Vec<String>) -> BTreeMap<Event, Answer> {
    let mut offered = BTreeMap::new();
    for (event, answer) in calls.iter().flat_map(Call::answers) {
        if let Some(before) = offered.insert(event, answer) {
            problems.push(format!("{event:?} was offered twice: {before:?}, then {answer:?}"));
        }
    }
    offered
}

/// Whether what came, came in the order in which it was written, as far as the writes tell one: of
/// each group, no event before one whose write had ended when its own began.
fn out_of_order<K: Ord>(
    written: &[Call],
    came: impl Iterator<Item = Event>,
    group: impl Fn(Event) -> K,
) -> Option<String> {
    let writes = written.iter().flat_map(|call| call.events.iter().map(move |event| (event, call)));
    let writes: BTreeMap<_, _> = writes.collect();
    // The latest begin so far, and whose it was.
    let mut latest: BTreeMap<K, (u64, Event)> = BTreeMap::new();
    for event in came {
        let Some(write) = writes.get(&event) else { continue };
        let (began, before) = latest.entry(group(event)).or_insert((0, event));
        if write.ended < *began {
            return Some(format!("{event:?} comes after {before:?}, which was written later"));
        }
        if write.began > *began {
            (*began, *before) = (write.began, event);
        }
    }
    None
}
