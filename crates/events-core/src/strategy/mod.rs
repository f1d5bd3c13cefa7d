//! Whether and when a failed write is tried again.

pub(crate) mod backoff;
pub(crate) mod backoff_builder;
pub(crate) mod breaker;
pub(crate) mod breaker_builder;
pub(crate) mod circuit;
mod forward;
mod jitter;
pub(crate) mod limits;
pub(crate) mod progress;
pub(crate) mod retry_strategy;
pub(crate) mod schedule;
pub(crate) mod verdict;

pub use backoff::ExponentialBackoff;
pub use backoff_builder::ExponentialBackoffBuilder;
pub use breaker::Breaker;
pub use breaker_builder::BreakerBuilder;
pub use jitter::Jitter;
pub use limits::{MaxAttempts, MaxElapsed};
pub use progress::Progress;
pub use retry_strategy::RetryStrategy;
pub use schedule::{Failure, Schedule};
pub use verdict::Verdict;
