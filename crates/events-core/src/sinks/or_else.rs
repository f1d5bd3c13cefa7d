use std::{any::type_name, fmt};

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    gate::Gate,
    sink::{AsyncSink, Close, Sink},
};

/// Shows a closure every event that the inner sink did not commit, with the error.
///
/// What the closure returns is the result of the write: `Ok` if it has dealt with the event, the
/// same error or another one if not. It must not wait, and it is not asked after the close.
///
/// ```
/// use events_core::{ErrorKind, OrElse, Sink, SinkError, sink_fn};
///
/// let full = sink_fn(|_: &String| Err(SinkError::full()));
/// let lossy = OrElse::new(full, |event: &String, error: SinkError| match error.kind() {
///     ErrorKind::Full if event.starts_with("debug") => Ok(()),
///     _ => Err(error),
/// });
/// lossy.write(&"debug: tick".to_owned())?;
/// assert!(lossy.write(&"error: tock".to_owned()).is_err());
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct OrElse<S, F> {
    inner: S,
    handle: F,
    gate: Gate,
}

impl<S, F> OrElse<S, F> {
    /// What `inner` does not commit goes to `handle`.
    pub const fn new(inner: S, handle: F) -> Self {
        Self { inner, handle, gate: Gate::new() }
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Close, F: Send + Sync> Close for OrElse<S, F> {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E, S, F> Sink<E> for OrElse<S, F>
where
    E: ?Sized + Event,
    S: Sink<E>,
    F: Fn(&E, SinkError) -> Result<(), SinkError> + Send + Sync,
{
    fn write(&self, event: &E) -> Result<(), SinkError> {
        self.gate.check()?;
        self.inner.write(event).or_else(|error| (self.handle)(event, error))
    }
}

impl<E, S, F> AsyncSink<E> for OrElse<S, F>
where
    E: ?Sized + Event,
    S: AsyncSink<E>,
    F: Fn(&E, SinkError) -> Result<(), SinkError> + Send + Sync,
{
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.gate.check()?;
        self.inner.write(event).await.or_else(|error| (self.handle)(event, error))
    }
}

impl<S: fmt::Debug, F> fmt::Debug for OrElse<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrElse")
            .field("inner", &self.inner)
            .field("handle", &type_name::<F>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        runtime::park::block_on,
        sinks::sink_fn::sink_fn,
        testing::{Told, check_wrapper},
    };
    use std::future::ready;

    #[test]
    fn the_closure_decides_about_every_error() {
        let handle = |_: &ErrorKind, error: SinkError| match error.kind() {
            ErrorKind::Full => Ok(()),
            _ => Err(SinkError::rejected(error)),
        };
        let sink = OrElse::new(sink_fn(|kind: &ErrorKind| Err((*kind).into())), handle);
        let tasks = OrElse::new(sink_fn(|kind: &ErrorKind| ready(Err((*kind).into()))), handle);
        let write = |kind| [Sink::write(&sink, &kind), block_on(AsyncSink::write(&tasks, &kind))];
        assert!(write(ErrorKind::Full).iter().all(Result::is_ok));
        for result in write(ErrorKind::Unavailable) {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Rejected);
        }
    }

    #[test]
    fn the_closure_is_not_asked_after_the_close() {
        let sink = OrElse::new(Told::default(), |_: &str, _: SinkError| Ok(()));
        check_wrapper(&sink, "event", &[sink.get_ref()]);
    }
}
