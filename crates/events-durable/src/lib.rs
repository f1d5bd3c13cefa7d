#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod builder;
mod committer;
mod dead_letters;
mod delivery;
mod desk;
mod durability;
mod encoding;
mod event_id;
mod fingerprint;
mod ledger;
mod lock;
mod open_error;
mod plain;
mod queue;
mod reply;
mod row;
mod schema;
mod spool;
mod store;
mod stored;
mod waiting;

pub use builder::{Batching, Builder, Single};
pub use dead_letters::{Dead, DeadLetters, Which};
pub use durability::Durability;
pub use event_id::{EventId, ParseEventIdError};
pub use events_core::{Dropped, Overflow, Stats};
pub use open_error::{OpenError, OpenErrorKind};
pub use plain::Plain;
pub use queue::DurableQueue;
pub use reply::Reply;
pub use spool::{Events, Raw, Spool, SpoolStats};
pub use stored::Stored;
