#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The contract.
mod close_on_drop;
mod closing;
mod config_error;
mod dead_letter;
mod delivering;
mod error;
mod event;
mod gate;
mod overflow;
mod setting;
mod sink;
mod stats;

// The rooms: each knows what stands above, and the runtime below everything.
mod sinks;
mod strategy;

#[cfg(feature = "engine")]
#[cfg_attr(docsrs, doc(cfg(feature = "engine")))]
pub mod engine;

#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;

#[cfg_attr(
    not(feature = "engine"),
    expect(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "the engine needs more of it than the contract"
    )
)]
mod runtime;

#[cfg(test)]
mod testing;

pub use close_on_drop::CloseOnDrop;
pub use closing::Closing;
pub use config_error::ConfigError;
pub use dead_letter::DeadLetter;
pub use delivering::is_delivering;
pub use error::{ErrorKind, SinkError};
pub use event::Event;
pub use gate::Gate;
pub use overflow::Overflow;
pub use sink::{AsyncSink, Close, Sink};
pub use sinks::{
    Bisect, BoxAsyncSink, Discard, Fallback, Filter, Map, Matcher, Memory, OrElse, Router, SinkFn,
    Timeout, sink_fn,
};
pub use stats::{Dropped, Stats};
pub use strategy::{
    Breaker, BreakerBuilder, ExponentialBackoff, ExponentialBackoffBuilder, Failure, Jitter,
    MaxAttempts, MaxElapsed, Progress, RetryStrategy, Schedule, Verdict,
};
