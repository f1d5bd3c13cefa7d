//! Small sinks, to put around others or at the end of a pipeline.

pub(crate) mod bisect;
pub(crate) mod box_async;
pub(crate) mod discard;
pub(crate) mod fallback;
pub(crate) mod filter;
mod forward;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod or_else;
pub(crate) mod router;
pub(crate) mod sink_fn;
pub(crate) mod timeout;

pub use bisect::Bisect;
pub use box_async::BoxAsyncSink;
pub use discard::Discard;
pub use fallback::Fallback;
pub use filter::{Filter, Matcher};
pub use map::Map;
pub use memory::Memory;
pub use or_else::OrElse;
pub use router::Router;
pub use sink_fn::{SinkFn, sink_fn};
pub use timeout::Timeout;
