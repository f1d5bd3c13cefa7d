#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adaptive_limit;
mod limit_stats;
mod permits;
mod retry;
mod run;
mod state;
mod stats;

pub use adaptive_limit::{AdaptiveLimit, AdaptiveLimitBuilder};
pub use limit_stats::LimitStats;
pub use retry::Retry;
pub use stats::RetryStats;
