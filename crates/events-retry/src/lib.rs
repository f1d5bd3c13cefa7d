#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod retry;
mod run;
mod state;
mod stats;

pub use retry::Retry;
pub use stats::RetryStats;
