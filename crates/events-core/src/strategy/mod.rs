//! Whether and when a failed write is tried again.

pub(crate) mod backoff;
pub(crate) mod breaker;
mod circuit;
mod forward;
pub(crate) mod limits;
pub(crate) mod progress;
pub(crate) mod retry_strategy;
pub(crate) mod verdict;

pub use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, Jitter};
pub use breaker::{Breaker, BreakerBuilder};
pub use limits::{MaxAttempts, MaxElapsed};
pub use progress::Progress;
pub use retry_strategy::RetryStrategy;
pub use verdict::Verdict;
