#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod commit_queue;
mod commit_wait;
mod committer;
mod completion;
mod consumer;
mod consumer_builder;
mod consumer_config;
mod consumer_rows;
mod consumer_state;
mod dead_letters;
mod dead_rows;
mod delivery;
mod durability;
mod encoding;
mod event_id;
mod fingerprint;
pub mod history;
mod load_queue;
mod loader;
mod lock;
mod log;
mod log_builder;
mod log_state;
mod migration;
mod open_error;
mod openings;
#[cfg(feature = "outbox")]
#[cfg_attr(docsrs, doc(cfg(feature = "outbox")))]
pub mod outbox;
mod plain;
mod queue;
mod queue_builder;
mod read;
mod retention;
mod schema;
mod spool;
mod start;
mod store;
mod stored;
mod tables;
mod tip;

pub use completion::Completion;
pub use consumer::Consumer;
pub use consumer_builder::{Batching, ConsumerBuilder, Single};
pub use dead_letters::{Dead, DeadLetters, Which};
pub use durability::Durability;
pub use event_id::{EventId, ParseEventIdError};
pub use events_core::{Dropped, Overflow, Schedule, Stats, engine::Mode};
pub use log::{DurableLog, LogStats};
pub use log_builder::LogBuilder;
pub use open_error::{OpenError, OpenErrorKind};
pub use plain::Plain;
pub use queue::DurableQueue;
pub use queue_builder::Builder;
pub use read::{Read, ReadError};
pub use retention::Retention;
pub use spool::{ConsumerStats, Events, Raw, Spool, SpoolStats};
pub use start::Start;
pub use stored::Stored;
