#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive_limit;
#[cfg(feature = "rate-limit")]
mod cost;
mod limit_stats;
mod permits;
#[cfg(feature = "rate-limit")]
mod rate_limit;
mod retry;
mod run;
mod state;
mod stats;

pub use adaptive_limit::{AdaptiveLimit, AdaptiveLimitBuilder};
#[cfg(feature = "rate-limit")]
#[cfg_attr(docsrs, doc(cfg(feature = "rate-limit")))]
pub use cost::{Bytes, Cost, Events};
pub use limit_stats::LimitStats;
#[cfg(feature = "rate-limit")]
#[cfg_attr(docsrs, doc(cfg(feature = "rate-limit")))]
pub use rate_limit::RateLimit;
pub use retry::Retry;
pub use stats::RetryStats;
