use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    engine::{account::Flow, deliver::Deliver, member::Member},
    event::Event,
};

/// How many events a worker delivers before other tasks have a turn: what tokio grants a task.
///
/// In a model there are not that many.
const TURN: usize = if cfg!(loom) { 1 } else { 128 };

/// How far the pass of one chunk through the members has come.
pub(super) struct Walk {
    /// The member it is with.
    pub(super) at: usize,
    /// Where it ends: behind the last member that is not left to another worker.
    pub(super) end: usize,
    /// How many events were delivered in this turn.
    pub(super) delivered_this_turn: usize,
    /// Whether there may be members whose accounts are to be ended.
    pub(super) has_ended_some: bool,
}

/// Why a walk does not go on.
pub(super) enum Step {
    /// It is through.
    Through,
    /// Other tasks are to have a turn.
    Yields,
    /// The sink of the member it is with has to wait.
    Waits,
}

impl Walk {
    pub(super) const fn new(members: usize, delivered_this_turn: usize) -> Self {
        Self { at: 0, end: members, delivered_this_turn, has_ended_some: false }
    }

    /// Walks from member to member. What each does with the chunk, of so many `events`, is what
    /// `deliver` says, and stands in `delivery` until it is done.
    ///
    /// All that one turn allows is done in one call, which the caller isolates as a whole, since
    /// what a sink does is often very little.
    pub(super) fn advance<'a, E, D, F>(
        &mut self,
        members: &'a [Member<E, D>],
        events: usize,
        deliver: impl Fn(&'a Member<E, D>) -> F,
        mut delivery: Pin<&mut Option<F>>,
        cx: &mut Context<'_>,
    ) -> Step
    where
        E: Event + Clone,
        D: Deliver<E>,
        F: Future<Output = Flow>,
    {
        while self.at < self.end {
            let member = &members[self.at];
            if delivery.is_none() {
                delivery.set(Some(deliver(member)));
            }
            if let Some(delivery) = delivery.as_mut().as_pin_mut() {
                let Poll::Ready(flow) = delivery.poll(cx) else { return Step::Waits };
                self.has_ended_some |= flow == Flow::Stop || member.is_at_end();
            }
            delivery.set(None);
            self.at += 1;
            self.delivered_this_turn += events;
            if self.delivered_this_turn >= TURN {
                self.delivered_this_turn = 0;
                return Step::Yields;
            }
        }
        Step::Through
    }

    /// Leaves out the members behind the one it is with, which has to wait; and whose account may be
    /// ended meanwhile.
    pub(super) const fn stop_here(&mut self) {
        self.has_ended_some = true;
        self.delivered_this_turn = 0;
        self.end = self.at + 1;
    }
}
