use std::time::Duration;

use crate::{
    closing::Closing,
    config_error::ConfigError,
    error::SinkError,
    event::Event,
    runtime::{clock, park::block_on},
    setting,
    sink::{AsyncSink, Close, Sink},
};

/// Gives up a write that takes too long: it is [`Unavailable`](crate::ErrorKind::Unavailable) then.
///
/// At the limit the write of the sink inside is dropped. It may have committed the event all the
/// same, so with a retry outside, an event may arrive twice.
///
/// The sink inside is an [`AsyncSink`], on a thread too, which then drives it: a call that blocks
/// cannot be interrupted, a future can be dropped. One that needs a runtime finds it on a thread that
/// has entered it. A sink that blocks inside its future is not interrupted either.
///
/// Inside tokio turn on the feature `tokio`, or each write that waits costs a short-lived thread. A
/// close has no limit; that is what a queue's `close_within` is for.
///
/// ```
/// use events_core::{ErrorKind, Sink, SinkError, Timeout, sink_fn};
/// use std::{future::pending, time::Duration};
///
/// let stuck = sink_fn(|_: &str| pending::<Result<(), SinkError>>());
/// let sink = Timeout::new(stuck, Duration::from_millis(1))?;
/// let error = sink.write("deployed").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Timeout<S> {
    inner: S,
    limit: Duration,
}

impl<S> Timeout<S> {
    /// A write to `inner` may take as long as `limit`.
    ///
    /// # Errors
    /// A limit of zero, or of more than a day.
    pub fn new(inner: S, limit: Duration) -> Result<Self, ConfigError> {
        setting::more_than_zero("limit", limit)?;
        setting::at_most("limit", limit, setting::LONGEST_PAUSE)?;
        Ok(Self { inner, limit })
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

impl<S: Close> Close for Timeout<S> {
    fn close(&self) -> Closing<'_> {
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for Timeout<S> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        let limit = clock::sleep(self.limit);
        let in_time = clock::before(self.inner.write(event), limit).await;
        in_time.unwrap_or_else(|| {
            Err(SinkError::unavailable(format!("the write took longer than {:?}", self.limit)))
        })
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> Sink<E> for Timeout<S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        block_on(AsyncSink::write(self, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        sinks::sink_fn::sink_fn,
        testing::{Told, check_wrapper},
    };
    use std::{error::Error, future::pending, sync::Arc, time::Instant};

    /// A sink that never answers, and whether one of its writes is under way.
    fn stuck() -> (impl AsyncSink<str>, Arc<()>) {
        let under_way = Arc::new(());
        let count = Arc::clone(&under_way);
        let sink = sink_fn(move |_: &str| {
            let count = Arc::clone(&count);
            async move {
                let () = pending().await;
                drop(count);
                Ok(())
            }
        });
        (sink, under_way)
    }

    fn check_gave_up(result: Result<(), SinkError>, limit: &str, under_way: &Arc<()>) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let source = error.source().unwrap().to_string();
        assert_eq!(source, format!("the write took longer than {limit}"));
        assert_eq!(Arc::strong_count(under_way), 2, "the sink's alone: the write was dropped");
    }

    #[test]
    fn a_thread_gives_up_at_the_limit() {
        let (sink, under_way) = stuck();
        let start = Instant::now();
        let timeout = Timeout::new(sink, Duration::from_millis(5)).unwrap();
        check_gave_up(Sink::write(&timeout, "event"), "5ms", &under_way);
        assert!(start.elapsed() >= Duration::from_millis(5));
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn a_task_gives_up_at_the_limit_of_tokios_clock() {
        let (sink, under_way) = stuck();
        let timeout = Timeout::new(sink, Duration::from_hours(1)).unwrap();
        let start = tokio::time::Instant::now();
        let result = AsyncSink::write(&timeout, "event").await;
        check_gave_up(result, "3600s", &under_way);
        let took = start.elapsed();
        assert!((3600..3601).contains(&took.as_secs()), "{took:?}");
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn what_is_answered_at_the_last_moment_counts() {
        let limit = Duration::from_secs(1);
        let slow = sink_fn(move |took: &Duration| {
            let took = *took;
            async move {
                tokio::time::sleep(took).await;
                Err(SinkError::full())
            }
        });
        let timeout = Timeout::new(slow, limit).unwrap();
        for (took, kind) in [
            (limit / 2, ErrorKind::Full),
            (limit, ErrorKind::Full),
            (limit * 2, ErrorKind::Unavailable),
        ] {
            let error = AsyncSink::write(&timeout, &took).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{took:?}");
        }
    }

    #[test]
    fn a_limit_that_makes_no_sense_is_refused() {
        for limit in [Duration::ZERO, Duration::MAX] {
            assert_eq!(Timeout::new((), limit).unwrap_err().setting(), "limit");
        }
    }

    #[test]
    fn closes_and_aborts_inwards() {
        let timeout = Timeout::new(Told::default(), Duration::from_hours(1)).unwrap();
        check_wrapper(&timeout, "event", &[timeout.get_ref()]);
    }
}
