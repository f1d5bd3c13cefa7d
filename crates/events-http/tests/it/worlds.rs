//! The ways to write to a sink: each test of what goes over the wire does it in all of them.

use events_core::{AsyncSink, Sink, SinkError, engine::park};
use events_http::{Encode, HttpSink};

pub(crate) type Write<F> = fn(&HttpSink<F>, &'static str) -> Result<(), SinkError>;

/// A thread, a task of tokio, a task of an executor that knows no I/O.
pub(crate) fn all<F: Encode<str>>() -> [Write<F>; 3] {
    [on_a_thread, in_tokio, elsewhere]
}

pub(crate) fn on_a_thread<F: Encode<str>>(
    sink: &HttpSink<F>,
    event: &'static str,
) -> Result<(), SinkError> {
    Sink::write(sink, event)
}

fn in_tokio<F: Encode<str>>(sink: &HttpSink<F>, event: &'static str) -> Result<(), SinkError> {
    runtime().block_on(AsyncSink::write(sink, event))
}

fn elsewhere<F: Encode<str>>(sink: &HttpSink<F>, event: &'static str) -> Result<(), SinkError> {
    park::block_on(AsyncSink::write(sink, event))
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
