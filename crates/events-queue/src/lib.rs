#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod channel;
mod drive;
mod lanes;
mod queue;
mod shared_close;
mod start;

pub use builder::{Batching, Builder, Single};
pub use channel::ChannelSink;
pub use events_core::{DeadLetter, Dropped, Overflow, Stats};
pub use queue::Queue;
