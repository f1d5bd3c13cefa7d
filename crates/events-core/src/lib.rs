#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod box_async;
pub mod clock;
mod closing;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod dead_letter;
mod deliver;
mod discard;
mod error;
mod event;
pub mod feed;
mod forward;
mod gate;
mod groups;
pub mod isolate;
mod memory;
mod outlet;
pub mod park;
mod position;
mod seat;
mod sink;
mod stats;
mod sync;
mod waiters;
mod worker;

pub use box_async::BoxAsyncSink;
pub use closing::Closing;
pub use dead_letter::DeadLetter;
pub use deliver::{Batches, Blocking, Deliver, Each};
pub use discard::Discard;
pub use error::{ConfigError, ErrorKind, SinkError};
pub use event::Event;
pub use gate::Gate;
pub use groups::Groups;
pub use memory::Memory;
pub use outlet::{OnEnd, Outlet, OutletParts};
pub use position::Position;
pub use sink::{AsyncSink, Close, Sink};
pub use stats::{Dropped, Stats};
pub use waiters::{Sleepers, Ticket, Waiters};
pub use worker::{Linger, Worker};
