#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod broadcaster;
mod delivery;
mod direct;
mod lag;
mod presence;
mod roster;
mod sink_id;
mod subscriber;
mod subscription;
#[cfg(feature = "tokio")]
mod tokio_groups;

pub use broadcaster::Broadcaster;
pub use delivery::Delivery;
pub use events_core::{DeadLetter, Dropped, Stats};
pub use lag::Lag;
pub use roster::SinkStats;
pub use sink_id::SinkId;
pub use subscriber::Subscriber;
pub use subscription::{Missed, Received, Subscription};
