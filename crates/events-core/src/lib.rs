#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod bisect;
mod box_async;
mod breaker;
mod circuit;
pub mod clock;
mod closing;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod cursor;
mod dead_letter;
mod deliver;
mod discard;
mod error;
mod event;
mod fallback;
pub mod feed;
mod filter;
mod forward;
mod gate;
mod groups;
pub mod isolate;
mod limits;
mod map;
mod memory;
mod or_else;
mod outlet;
mod overflow;
pub mod park;
mod position;
mod seat;
mod setting;
mod sink;
mod sink_fn;
mod stats;
mod strategy;
#[doc(hidden)]
pub mod sync;
#[cfg(test)]
mod testing;
mod waiters;
mod worker;

pub use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, Jitter};
pub use bisect::Bisect;
pub use box_async::BoxAsyncSink;
pub use breaker::{Breaker, BreakerBuilder};
pub use closing::Closing;
pub use cursor::Cursor;
pub use dead_letter::DeadLetter;
pub use deliver::{Batches, Blocking, Deliver, Each};
pub use discard::Discard;
pub use error::{ConfigError, ErrorKind, SinkError};
pub use event::Event;
pub use fallback::Fallback;
pub use filter::{Filter, Matcher};
pub use gate::Gate;
pub use groups::Groups;
pub use limits::{MaxAttempts, MaxElapsed};
pub use map::Map;
pub use memory::Memory;
pub use or_else::OrElse;
pub use outlet::{OnEnd, Outlet, OutletParts};
pub use overflow::Overflow;
pub use position::Position;
pub use sink::{AsyncSink, Close, Sink};
pub use sink_fn::{SinkFn, sink_fn};
pub use stats::{Dropped, Stats};
pub use strategy::{Progress, RetryStrategy, Verdict};
pub use waiters::{Sleepers, Ticket, Waiters};
pub use worker::{Linger, Worker};
