use std::{any::type_name, error::Error, fmt};

use events_core::Event;

use crate::message::Message;

/// How an event becomes the body of a request: the format of an [`HttpSink`](crate::HttpSink).
///
/// | format | an event | a batch |
/// |---|---|---|
/// | [`Json`](crate::Json) | `application/json` | an array |
/// | [`NdJson`](crate::NdJson) | a line | a line for each |
/// | [`registry::Envelope`](crate::registry::Envelope) | `{"events":[…]}` | the same |
/// | [`CloudEvents`](crate::cloudevents::CloudEvents) | binary or structured | batched |
/// | [`encode_fn`] | whatever a closure makes of it | |
/// | [`Encoded`](crate::Encoded) | it is a [`Message`] already | |
///
/// An error means that this event has no such form, ever: the write is
/// [`Rejected`](events_core::ErrorKind::Rejected), and the error is its source. Leave the event's
/// content out of it, since errors end up in logs.
///
/// ```
/// use std::error::Error;
/// use events_http::{Encode, HttpSink, Message};
///
/// struct Lines;
///
/// impl Encode<[String]> for Lines {
///     fn encode(&self, events: &[String]) -> Result<Message, Box<dyn Error + Send + Sync>> {
///         Ok(Message::new("text/plain", events.join("\n")))
///     }
/// }
///
/// let sink = HttpSink::builder("http://example.com/lines").format(Lines).build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
pub trait Encode<E: ?Sized + Event>: Send + Sync + 'static {
    /// The request's body, with the headers that go with it.
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>>;
}

/// A closure as a format. It wants a typed argument.
///
/// ```
/// use events_http::{HttpSink, Message, encode_fn};
///
/// let text = encode_fn(|event: &u64| Ok(Message::new("text/plain", event.to_string())));
/// let sink = HttpSink::builder("http://example.com/numbers").format(text).build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
pub const fn encode_fn<E, F>(encode: F) -> EncodeFn<F>
where
    E: ?Sized + Event,
    F: Fn(&E) -> Result<Message, Box<dyn Error + Send + Sync>>,
{
    EncodeFn(encode)
}

/// What [`encode_fn`] makes.
#[derive(Clone, Copy)]
pub struct EncodeFn<F>(F);

impl<E, F> Encode<E> for EncodeFn<F>
where
    E: ?Sized + Event,
    F: Fn(&E) -> Result<Message, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
{
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        (self.0)(event)
    }
}

impl<F> fmt::Debug for EncodeFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodeFn").field(&type_name::<F>()).finish()
    }
}
