#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod channel;
mod queue;
mod start;

pub use builder::{Batching, Builder, Single};
pub use channel::ChannelSink;
pub use events_core::{DeadLetter, Dropped, Failure, Overflow, Schedule, Stats, engine::Mode};
pub use queue::Queue;
