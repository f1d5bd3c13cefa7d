use std::{fmt, pin::Pin};

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    sink::{AsyncSink, Close},
};

/// An [`AsyncSink`] of any type, so that different ones fit one list or field.
///
/// Each write allocates its future; `Box<dyn Sink<E>>` needs no such help.
///
/// ```
/// use events_core::{BoxAsyncSink, Discard, Memory};
///
/// let sinks: Vec<BoxAsyncSink<String>> =
///     vec![BoxAsyncSink::new(Discard::new()), BoxAsyncSink::new(Memory::new())];
/// ```
pub struct BoxAsyncSink<E: ?Sized>(Box<dyn Erased<E>>);

impl<E: ?Sized + Event> BoxAsyncSink<E> {
    /// Erases the type of `sink`.
    pub fn new(sink: impl AsyncSink<E> + 'static) -> Self {
        Self(Box::new(sink))
    }
}

trait Erased<E: ?Sized>: Close {
    fn write<'a>(&'a self, event: &'a E) -> BoxWrite<'a>;
}

type BoxWrite<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

impl<E: ?Sized + Event, S: AsyncSink<E>> Erased<E> for S {
    fn write<'a>(&'a self, event: &'a E) -> BoxWrite<'a> {
        Box::pin(AsyncSink::write(self, event))
    }
}

impl<E: ?Sized + Event> AsyncSink<E> for BoxAsyncSink<E> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.0.write(event).await
    }
}

impl<E: ?Sized + Event> Close for BoxAsyncSink<E> {
    fn close(&self) -> Closing<'_> {
        self.0.close()
    }

    fn abort(&self) {
        self.0.abort();
    }
}

impl<E: ?Sized> fmt::Debug for BoxAsyncSink<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxAsyncSink").finish_non_exhaustive()
    }
}
