//! The same work done by the events family and by its rivals, for `versus` and the benches.

pub mod bench;
pub mod contest;
mod event;
pub mod fan_out;
pub mod pipe;
mod receiver;
mod runtime;
mod sinks;
pub mod works;

pub use event::Event;
pub use receiver::Receiver;
pub use runtime::{Writer, runtime};
pub use sinks::{Counter, Round, Stuck};
