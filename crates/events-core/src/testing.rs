//! What several unit tests need.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{AsyncSink, Close, Closing, ErrorKind, Event, Gate, Sink, SinkError, park::block_on};

/// Takes everything, and counts what it is told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    gate: Gate,
    closed: AtomicUsize,
    aborted: AtomicUsize,
}

impl Told {
    pub(crate) fn times_closed(&self) -> usize {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn times_aborted(&self) -> usize {
        self.aborted.load(Ordering::Relaxed)
    }
}

impl Close for Told {
    fn close(&self) -> Closing<'_> {
        self.closed.fetch_add(usize::from(self.gate.close()), Ordering::Relaxed);
        Closing::ended(Err(SinkError::undelivered_events(1)))
    }

    fn abort(&self) {
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }
}

impl<E: ?Sized + Event> Sink<E> for Told {
    fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.gate.check()
    }
}

impl<E: ?Sized + Event> AsyncSink<E> for Told {
    async fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.gate.check()
    }
}

/// Checks that `wrapper` takes `event`, hands `abort` and `close` inwards, tells what the inner
/// close came to, and takes nothing afterwards.
pub(crate) fn check_wrapper<E, W>(wrapper: &W, event: &E, inner: &[&Told])
where
    E: ?Sized + Event,
    W: Sink<E> + AsyncSink<E>,
{
    let write = || [Sink::write(wrapper, event), block_on(AsyncSink::write(wrapper, event))];
    assert!(write().iter().all(Result::is_ok));
    wrapper.abort();
    assert!(inner.iter().all(|inner| inner.times_aborted() == 1));
    for _ in 0..2 {
        let error = wrapper.close().wait().unwrap_err();
        assert_eq!(error.undelivered(), Some(inner.len() as u64));
    }
    assert!(inner.iter().all(|inner| inner.times_closed() == 1));
    for result in write() {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    }
}
