//! What the close promises: `Ok` only if nothing that was accepted is lost.

use std::{collections::BTreeMap, ops::RangeInclusive};

use events_core::SinkError;

use super::account::{Facts, says_closed};
use crate::{
    found::{Found, Member},
    journal::{Answer, Call, Dead},
    run::Outcome,
};

/// What does not hold.
pub(super) fn problems(found: &Found, all: &[Facts<'_>], outcome: &Outcome) -> Option<String> {
    let result = outcome.result.as_ref()?;
    let told = result.as_ref().err().and_then(SinkError::undelivered).unwrap_or(0);
    // What lies behind a direct sink that left is closed by somebody else, and told to them.
    let left: Vec<_> = found.members.iter().filter(|member| may_have_left(member)).collect();
    // A worker that is given up tells nothing of the close of what is behind it.
    let is_calm = all.iter().all(|facts| !facts.gives_up_by_force());
    let (mut least, mut most) = (0, 0);
    for facts in all {
        let letters = facts.account().dead.letters();
        let lost = letters.iter().filter(|letter| Dead::refuses(letter.event)).count() as u64;
        let is_told = is_calm && !is_behind(&facts.account().name, &left);
        least += if is_told { lost } else { 0 };
        most += if is_calm && !facts.is_disconnected() { lost } else { letters.len() as u64 };
    }
    for member in &found.members {
        let refused = refused_by(member);
        let is_told = is_calm && !is_behind_another(&member.name, &left);
        least += if is_told { *refused.start() } else { 0 };
        most += refused.end();
    }
    let holds = (least..=most).contains(&told);
    (!holds).then(|| format!("the close told {result:?}, but {least} to {most} were lost"))
}

/// How many events it did not take whose write was `Ok`, or may have been.
fn refused_by(member: &Member) -> RangeInclusive<u64> {
    let written: BTreeMap<_, _> = member.entry.calls().iter().flat_map(Call::answers).collect();
    let (mut surely, mut perhaps) = (0, 0);
    for (event, answer) in member.exit.calls().iter().flat_map(Call::answers) {
        if answer == Answer::Taken {
            continue;
        }
        match written.get(&event) {
            Some(Answer::Taken) => surely += 1,
            Some(Answer::None) => perhaps += 1,
            _ => {}
        }
    }
    surely..=surely + perhaps
}

fn may_have_left(member: &Member) -> bool {
    let is_removed = member.window.leaving.load(std::sync::atomic::Ordering::SeqCst) < u64::MAX;
    is_removed || member.exit.calls().iter().any(says_closed)
}

fn is_behind(name: &str, left: &[&Member]) -> bool {
    left.iter().any(|member| name.starts_with(&member.name))
}

/// The same for a member, which is not behind itself.
fn is_behind_another(name: &str, left: &[&Member]) -> bool {
    left.iter().any(|member| name != member.name && name.starts_with(&member.name))
}
