//! A reference, a box and an `Arc` of a sink are that sink.
#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    sink::{AsyncSink, Close, Sink},
};

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
