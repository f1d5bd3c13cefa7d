//! The account of a queue or of a subscriber, against the identity of its events.

use std::sync::atomic::Ordering;

use events_broadcast::Lag;
use events_core::{ErrorKind, Overflow};

use super::{Set, offered, out_of_order};
use crate::{
    event::Event,
    found::{Account, Found, Kind, Window},
    journal::{Answer, Call},
    plan::{Drive, End, Lanes, Plan},
    run::{Outcome, adds_up},
};

/// All that is known of one account.
pub(super) struct Facts<'a> {
    account: &'a Account,
    calls: Vec<Call>,
    /// When it may have begun to give up what it has.
    aborted_at: Option<u64>,
    /// Whether its worker may have been dropped.
    is_dismissed: bool,
    /// When its destination answered that it is closed.
    gone_at: Option<u64>,
    is_disconnected: bool,
    /// What it has accepted for sure, and what it may have accepted.
    must: Set,
    may: Set,
}

impl<'a> Facts<'a> {
    pub(super) fn new(account: &'a Account, found: &Found, plan: &Plan, outcome: &Outcome) -> Self {
        let calls = account.exit.calls();
        let alone = account.aborted.load(Ordering::SeqCst);
        let aborted_at = outcome.aborted_at.unwrap_or(u64::MAX).min(alone);
        let gone_at = calls.iter().find(|call| says_closed(call)).map(|call| call.ended);
        let is_disconnected = matches!(account.kind, Kind::Subscriber { lag: Lag::Disconnect(_) })
            && account.stats().is_some_and(|stats| stats.dropped.overflow > 0);
        let mut facts = Self {
            account,
            calls,
            aborted_at: (aborted_at < u64::MAX).then_some(aborted_at),
            is_dismissed: account.drive == Drive::Pair && plan.ending.end == End::DropWorkers,
            gone_at,
            is_disconnected,
            must: Set::new(),
            may: Set::new(),
        };
        match account.kind {
            Kind::Queue { .. } => facts.accepted_by_queue(),
            Kind::Subscriber { .. } => {
                let reached = found.members.iter();
                let reached =
                    reached.filter(|member| std::sync::Arc::ptr_eq(&member.entry, &account.entry));
                let reached =
                    reached.flat_map(|member| member.exit.calls()).map(|call| call.events[0]);
                facts.accepted_by_subscriber(&reached.collect());
            }
        }
        facts
    }

    fn accepted_by_queue(&mut self) {
        for (event, answer) in self.account.entry.calls().iter().flat_map(Call::answers) {
            match answer {
                Answer::Taken => drop(self.must.insert(event)),
                Answer::None => drop(self.may.insert(event)),
                Answer::Refused(_) => {}
            }
        }
    }

    /// A write that a close cut short has `reached` some sinks perhaps, and is refused all the same.
    fn accepted_by_subscriber(&mut self, reached: &Set) {
        let window = &self.account.window;
        let until = self.gone_at.unwrap_or(u64::MAX);
        for call in self.account.entry.calls() {
            for (event, answer) in call.answers() {
                let surely = surely_in(window, &call) && call.ended < until;
                match answer {
                    Answer::Taken if surely && !self.is_disconnected => {
                        self.must.insert(event);
                    }
                    Answer::Refused(_) if !reached.contains(&event) => {}
                    _ if perhaps_in(window, &call) => drop(self.may.insert(event)),
                    _ => {}
                }
            }
        }
    }

    /// What does not hold.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let offered = offered(&self.calls, &mut problems);
        let letters = self.account.dead.letters();
        let mut dead = Set::new();
        for letter in &letters {
            if !dead.insert(letter.event) {
                problems.push(format!("{:?} is a dead letter twice", letter.event));
            }
        }
        for event in offered.keys().chain(&dead) {
            if !self.must.contains(event) && !self.may.contains(event) {
                problems.push(format!("{event:?} was not accepted, and came"));
            }
        }
        for (event, answer) in &offered {
            let is_dead = dead.contains(event);
            match answer {
                Answer::Taken if is_dead && !self.may_be_both() => {
                    problems.push(format!("{event:?} was delivered, and is a dead letter"));
                }
                Answer::Refused(_) | Answer::None if !is_dead => {
                    problems.push(format!("{event:?} was not delivered, and is no dead letter"));
                }
                _ => {}
            }
        }
        for letter in &letters {
            match offered.get(&letter.event) {
                None if !self.gives_up() => {
                    problems.push(format!("{letter:?}, and it was never offered"));
                }
                Some(Answer::Refused(kind)) if !self.gives_up() && *kind != letter.kind => {
                    problems.push(format!("{letter:?}, and it was {kind:?}"));
                }
                _ => {}
            }
        }
        let both: Set = offered
            .iter()
            .filter(|(event, answer)| **answer == Answer::Taken && dead.contains(event))
            .map(|(event, _)| *event)
            .collect();
        problems.extend(self.check_in_hand(&both));
        let is_missing = |event: &&_| !offered.contains_key(event) && !dead.contains(event);
        let missing = self.must.iter().filter(is_missing).count() as u64;
        let perhaps = self.may.iter().filter(is_missing).count() as u64;
        if missing > 0 && !self.may_drop() {
            let first = self.must.iter().find(is_missing);
            problems.push(format!("{missing} events are nowhere, as {first:?}"));
        }
        let came = (self.must.len() + self.may.len()) as u64 - missing - perhaps;
        let taken = offered.values().filter(|answer| **answer == Answer::Taken).count();
        problems.extend(self.check_stats(came, missing, perhaps, taken - both.len(), dead.len()));
        problems.extend(self.check_order());
        problems
    }

    pub(super) const fn account(&self) -> &'a Account {
        self.account
    }

    pub(super) const fn is_disconnected(&self) -> bool {
        self.is_disconnected
    }

    /// Whether an abort, a deadline or a worker that was dropped may have given up what was left.
    pub(super) const fn gives_up_by_force(&self) -> bool {
        self.aborted_at.is_some() || self.is_dismissed
    }

    /// Whether what is left may be handed on without having been offered.
    fn gives_up(&self) -> bool {
        self.gives_up_by_force() || self.gone_at.is_some() || self.is_disconnected
    }

    fn may_drop(&self) -> bool {
        match self.account.kind {
            Kind::Queue { overflow, .. } => {
                matches!(overflow, Some(Overflow::DropOldest | Overflow::DropNewest))
            }
            Kind::Subscriber { lag } => lag != Lag::Unbounded,
        }
    }

    /// What the sink still had in its hands when an abort ran out is a dead letter, and is delivered
    /// all the same if the sink takes it afterwards.
    const fn may_be_both(&self) -> bool {
        self.aborted_at.is_some()
    }

    /// That is one call for each lane, and none comes after it.
    fn check_in_hand(&self, both: &Set) -> Vec<String> {
        let mut problems = Vec::new();
        let calls: Vec<_> =
            self.calls.iter().filter(|call| call.events.iter().any(|e| both.contains(e))).collect();
        let lanes = match self.account.kind {
            Kind::Queue { lanes, .. } => lanes.count(),
            Kind::Subscriber { .. } => 1,
        };
        if calls.len() > lanes {
            problems.push(format!("{} calls are delivered and dead: {both:?}", calls.len()));
        }
        for call in calls {
            if Some(call.ended) < self.aborted_at {
                problems.push(format!("delivered before an abort, and dead: {:?}", call.events));
            }
            if lanes == 1 && self.calls.last().is_some_and(|last| last.began > call.began) {
                problems.push(format!("not the last call, but dead: {:?}", call.events));
            }
        }
        problems
    }

    fn check_stats(
        &self,
        came: u64,
        missing: u64,
        perhaps: u64,
        delivered: usize,
        dead: usize,
    ) -> Vec<String> {
        let Some(stats) = self.account.stats() else { return Vec::new() };
        let mut problems = Vec::new();
        let mut holds = |holds: bool, what: &str| {
            if !holds {
                let seen = format!(
                    "came {came}, missing {missing}, perhaps {perhaps}, delivered {delivered}, \
                     dead {dead}"
                );
                problems.push(format!("{what}: {seen}, but {stats:?}"));
            }
        };
        let overflow = stats.dropped.overflow;
        holds(adds_up(&stats), "does not add up");
        holds(stats.pending == 0, "some are pending after the end");
        holds(stats.delivered == delivered as u64, "the count of delivered events is wrong");
        let handed_on = stats.failed + stats.dropped.abandoned;
        holds(handed_on == dead as u64, "the count of dead letters is wrong");
        holds(
            (missing..=missing + perhaps).contains(&overflow),
            "the count of events dropped by policy is wrong",
        );
        holds(stats.accepted == came + overflow, "the count of accepted events is wrong");
        holds(self.may_drop() || overflow == 0, "an overflow where nothing may be dropped");
        let gave_up = self.aborted_at.is_some() || self.is_dismissed || self.is_disconnected;
        holds(gave_up || stats.dropped.abandoned == 0, "abandoned without an abort");
        problems
    }

    fn check_order(&self) -> Option<String> {
        let events = || self.calls.iter().flat_map(|call| call.events.iter().copied());
        let written = self.account.entry.calls();
        let order = match self.account.kind {
            Kind::Queue { lanes: Lanes::ByKey(2..), .. } => {
                out_of_order(&written, events(), Event::key)
            }
            Kind::Queue { lanes: Lanes::ByRoom(2..), .. } => None,
            _ => out_of_order(&written, events(), |_| ()),
        };
        order.map(|order| format!("out of order: {order}"))
    }
}

pub(super) fn says_closed(call: &Call) -> bool {
    matches!(&call.answer, Some(Err(error)) if error.kind() == ErrorKind::Closed)
}

/// Whether the part was there all the time that the call took.
pub(super) fn surely_in(window: &Window, call: &Call) -> bool {
    call.began > window.joined && call.ended < window.leaving.load(Ordering::SeqCst)
}

/// Whether it was there at some time that the call took.
pub(super) fn perhaps_in(window: &Window, call: &Call) -> bool {
    call.ended > window.joining && call.began < window.left.load(Ordering::SeqCst)
}
