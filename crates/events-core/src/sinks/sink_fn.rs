use std::{any::type_name, fmt};

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    gate::Gate,
    sink::{AsyncSink, Close, Sink},
};

/// A closure as a sink: of a [`Sink`] if it returns a result, of an [`AsyncSink`] if it returns a
/// future of one.
///
/// The closure's argument wants its type. A future owns what it needs of the event, since the
/// closure only borrows it.
///
/// ```
/// use events_core::{AsyncSink, Sink, SinkError, sink_fn};
///
/// let print = sink_fn(|event: &String| {
///     println!("{event}");
///     Ok(())
/// });
/// print.write(&"on a thread".to_owned())?;
///
/// let print = sink_fn(|event: &String| {
///     let event = event.clone();
///     async move {
///         println!("{event}");
///         Ok(())
///     }
/// });
/// # events_core::engine::park::block_on(async move {
/// AsyncSink::write(&print, &"in a task".to_owned()).await?;
/// # Ok::<(), SinkError>(())
/// # })?;
/// # Ok::<(), SinkError>(())
/// ```
pub const fn sink_fn<F>(write: F) -> SinkFn<F> {
    SinkFn { write, gate: Gate::new() }
}

/// The sink that [`sink_fn`] makes.
pub struct SinkFn<F> {
    write: F,
    gate: Gate,
}

impl<F: Send + Sync> Close for SinkFn<F> {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        Closing::done()
    }
}

impl<E, F> Sink<E> for SinkFn<F>
where
    E: ?Sized + Event,
    F: Fn(&E) -> Result<(), SinkError> + Send + Sync,
{
    fn write(&self, event: &E) -> Result<(), SinkError> {
        self.gate.check()?;
        (self.write)(event)
    }
}

impl<E, F, W> AsyncSink<E> for SinkFn<F>
where
    E: ?Sized + Event,
    F: Fn(&E) -> W + Send + Sync,
    W: Future<Output = Result<(), SinkError>> + Send,
{
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.gate.check()?;
        (self.write)(event).await
    }
}

impl<F> fmt::Debug for SinkFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkFn").field("write", &type_name::<F>()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, runtime::park::block_on};
    use std::{future::ready, sync::atomic};

    #[test]
    fn after_the_close_the_closure_is_not_called() {
        let calls = atomic::AtomicU32::new(0);
        let call = || {
            calls.fetch_add(1, atomic::Ordering::Relaxed);
            Ok(())
        };
        let sink = sink_fn(|_: &str| call());
        let tasks = sink_fn(|_: &str| ready(call()));
        Sink::write(&sink, "one").unwrap();
        block_on(AsyncSink::write(&tasks, "two")).unwrap();
        sink.close().wait().unwrap();
        block_on(tasks.close()).unwrap();
        let closed = [Sink::write(&sink, "three"), block_on(AsyncSink::write(&tasks, "four"))];
        for result in closed {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
        }
        assert_eq!(calls.into_inner(), 2);
    }
}
