use std::error::Error;

use events_core::{AsyncSink, Close, Closing, Event, Gate, Sink, SinkError};

use crate::{encode::Encode, message::Message, refusal::Unfit};

/// Encodes each event, once, and hands the [`Message`] inwards.
///
/// An [`HttpSink`](crate::HttpSink) encodes at each write, which is each attempt. Around a retry,
/// an `Encoder` makes it once an event, however many attempts follow. The sink at the end then
/// takes messages, in the format [`Encoded`]:
///
/// ```
/// use events_core::Breaker;
/// use events_http::{Encoded, Encoder, HttpSink, Json};
/// use events_retry::Retry;
///
/// let hook = HttpSink::builder("http://example.com/hook").format(Encoded).build()?;
/// let retry = Retry::new(hook, Breaker::default());
/// let sink = Encoder::new(retry, Json);
/// # let _: &dyn events_core::Sink<str> = &sink;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encoder<S, F> {
    inner: S,
    format: F,
    gate: Gate,
}

impl<S, F> Encoder<S, F> {
    /// What `format` makes of an event goes to `inner`.
    pub const fn new(inner: S, format: F) -> Self {
        Self { inner, format, gate: Gate::new() }
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn encode<E: ?Sized + Event>(&self, event: &E) -> Result<Message, SinkError>
    where
        F: Encode<E>,
    {
        self.gate.check()?;
        self.format.encode(event).map_err(Unfit::error)
    }
}

impl<S: Close, F: Send + Sync> Close for Encoder<S, F> {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<Message>, F: Encode<E>> Sink<E> for Encoder<S, F> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        self.inner.write(&self.encode(event)?)
    }
}

impl<E: ?Sized + Event, S: AsyncSink<Message>, F: Encode<E>> AsyncSink<E> for Encoder<S, F> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        let message = self.encode(event)?;
        self.inner.write(&message).await
    }
}

/// The format of events that are messages already: they are sent as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Encoded;

impl Encode<Message> for Encoded {
    fn encode(&self, message: &Message) -> Result<Message, Box<dyn Error + Send + Sync>> {
        Ok(message.clone())
    }
}
