//! How a destination behaves: what each call of it does is a pure function of its plan, the event
//! and how often that was tried.

use std::{
    future::poll_fn,
    panic::{self, AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
};

use crate::event::Event;

/// How often, out of a thousand calls, a destination does what.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Makes one destination unlike the others.
    pub(crate) seed: u64,
    pub(crate) rejects: u16,
    pub(crate) is_unavailable: u16,
    /// Refuses some events of a batch, each with an error of its own.
    pub(crate) refuses_some: u16,
    pub(crate) closes: u16,
    pub(crate) panics: u16,
    pub(crate) yields: u16,
    pub(crate) naps: u16,
    pub(crate) gets_stuck: u16,
    /// Whether an abort ends the call that is stuck.
    pub(crate) heeds_abort: bool,
    /// Whether closing it fails, or takes its time.
    pub(crate) closes_badly: bool,
}

/// How long a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    No,
    Yields(u8),
    /// So many microseconds.
    Naps(u64),
    /// Until it is let go: see [`Latch`](crate::pause::Latch).
    Stuck,
}

/// What a call answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Takes,
    Rejects,
    IsUnavailable,
    RefusesSome,
    Closes,
    Panics,
}

impl Faults {
    /// What it does with a call that begins with `event`, the `attempt`th time.
    pub(crate) fn of(&self, event: Event, attempt: u32) -> (Wait, Reply) {
        let identity = u64::from(event.writer) << 48
            | u64::from(event.number) << 32
            | u64::from(attempt & 0xffff);
        let mut dice = fastrand::Rng::with_seed(self.seed ^ identity);
        let mut roll = dice.u16(..1_000);
        let mut hits = |share: u16| {
            let hit = roll < share;
            roll = roll.wrapping_sub(share);
            hit
        };
        let reply = if hits(self.rejects) {
            Reply::Rejects
        } else if hits(self.is_unavailable) {
            Reply::IsUnavailable
        } else if hits(self.refuses_some) {
            Reply::RefusesSome
        } else if hits(self.closes) {
            Reply::Closes
        } else if hits(self.panics) {
            Reply::Panics
        } else {
            Reply::Takes
        };
        roll = dice.u16(..1_000);
        let mut hits = |share: u16| {
            let hit = roll < share;
            roll = roll.wrapping_sub(share);
            hit
        };
        let wait = if hits(self.yields) {
            Wait::Yields(dice.u8(1..8))
        } else if hits(self.naps) {
            Wait::Naps(dice.u64(1..300))
        } else if hits(self.gets_stuck) {
            Wait::Stuck
        } else {
            Wait::No
        };
        (wait, reply)
    }

    /// Which events of a batch of `len` it refuses, when it refuses some; sometimes by a position
    /// that does not exist, which is a mistake that nobody may fall for.
    pub(crate) fn some_of(&self, event: Event, len: usize) -> Vec<usize> {
        let mut dice = fastrand::Rng::with_seed(self.seed ^ u64::from(event.number));
        let beyond = usize::from(dice.u8(..8) == 0);
        (0..len + beyond).filter(|_| dice.u8(..3) == 0).collect()
    }
}

/// The panic of a sink, which is no failure of the test.
const PANIC: &str = "as the plan says";

/// Panics, as a sink does that has a fault.
pub(crate) fn panic() -> ! {
    std::panic!("{PANIC}")
}

/// The output of `future`; none if it panics.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Has planned panics told to nobody.
pub(crate) fn hush_planned_panics() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(PANIC) {
            tell(panic);
        }
    }));
}
