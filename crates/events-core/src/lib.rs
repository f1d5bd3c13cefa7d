#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod box_async;
pub mod clock;
mod closing;
mod discard;
mod error;
mod event;
pub mod feed;
mod forward;
mod gate;
mod memory;
pub mod park;
mod position;
mod sink;
mod sync;
mod waiters;

pub use box_async::BoxAsyncSink;
pub use closing::Closing;
pub use discard::Discard;
pub use error::{ConfigError, ErrorKind, SinkError};
pub use event::Event;
pub use gate::Gate;
pub use memory::Memory;
pub use position::Position;
pub use sink::{AsyncSink, Close, Sink};
pub use waiters::{Sleepers, Ticket, Waiters};
