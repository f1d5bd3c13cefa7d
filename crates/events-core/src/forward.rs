//! A reference, a box and an `Arc` of a sink are that sink; the same for strategies.
#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use crate::{AsyncSink, Close, Closing, Event, Progress, RetryStrategy, Sink, SinkError, Verdict};

impl<S: ?Sized + Close> Close for &S {
    fn close(&self) -> Closing<'_> {
        (**self).close()
    }

    fn abort(&self) {
        (**self).abort();
    }
}

impl<S: ?Sized + Close> Close for Box<S> {
    fn close(&self) -> Closing<'_> {
        (**self).close()
    }

    fn abort(&self) {
        (**self).abort();
    }
}

impl<S: ?Sized + Close> Close for Arc<S> {
    fn close(&self) -> Closing<'_> {
        (**self).close()
    }

    fn abort(&self) {
        (**self).abort();
    }
}

impl<E: ?Sized + Event, S: ?Sized + Sink<E>> Sink<E> for &S {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        (**self).write(event)
    }
}

impl<E: ?Sized + Event, S: ?Sized + Sink<E>> Sink<E> for Box<S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        (**self).write(event)
    }
}

impl<E: ?Sized + Event, S: ?Sized + Sink<E>> Sink<E> for Arc<S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        (**self).write(event)
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for &S {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        (**self).write(event)
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for Box<S> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        (**self).write(event)
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for Arc<S> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        (**self).write(event)
    }
}

impl<E: ?Sized, R: ?Sized + RetryStrategy<E>> RetryStrategy<E> for &R {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        (**self).proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        (**self).success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        (**self).failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        (**self).release(event, progress);
    }
}

impl<E: ?Sized, R: ?Sized + RetryStrategy<E>> RetryStrategy<E> for Box<R> {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        (**self).proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        (**self).success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        (**self).failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        (**self).release(event, progress);
    }
}

impl<E: ?Sized, R: ?Sized + RetryStrategy<E>> RetryStrategy<E> for Arc<R> {
    fn proceed(&self, event: &E, progress: &Progress) -> Verdict {
        (**self).proceed(event, progress)
    }

    fn success(&self, event: &E, progress: &Progress) {
        (**self).success(event, progress);
    }

    fn failure(&self, event: &E, progress: &Progress) {
        (**self).failure(event, progress);
    }

    fn release(&self, event: &E, progress: &Progress) {
        (**self).release(event, progress);
    }
}
