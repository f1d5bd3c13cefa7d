use std::pin::Pin;

use super::destination::Destination;
use crate::error::SinkError;

pub(super) type Outcome = Result<(), SinkError>;
pub(super) type Drive =
    dyn Fn(Pin<&mut (dyn Future<Output = Outcome> + Send + '_)>) -> Outcome + Send + Sync;
pub(super) type Write<S> = dyn Fn(&S, u64, &Drive) -> Outcome + Send + Sync;
pub(super) type Observe<S> = dyn Fn(&S) -> Vec<u64> + Send + Sync;

/// What every rule needs to try a sink.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Kit<S> {
    pub(super) make: Box<dyn Fn(&Destination) -> S + Send + Sync>,
    pub(super) write: Box<Write<S>>,
    /// Polls a write once and drops it; absent for threads, which cannot.
    pub(super) write_and_drop: Option<Box<Write<S>>>,
    pub(super) observe: Option<Box<Observe<S>>>,
    pub(super) drive: Box<Drive>,
    pub(super) hands_on: bool,
    pub(super) lossy: bool,
    pub(super) unordered: bool,
    pub(super) borrowed: bool,
}
