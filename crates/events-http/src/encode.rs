use std::{borrow::Cow, error::Error, fmt};

use events_core::Event;
use serde::Serialize;

use crate::header::IDEMPOTENCY_KEY;

/// How an event becomes the body of a request: the format of an [`HttpSink`](crate::HttpSink).
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

/// What is sent for one event: a body, its content type, and headers of its own.
///
/// The headers that the [`Builder`](crate::Builder) was given win over those of the same name here.
pub struct Message {
    pub(crate) content_type: Cow<'static, str>,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// A message of this media type.
    pub fn new(content_type: impl Into<Cow<'static, str>>, body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), headers: Vec::new(), body: body.into() }
    }

    /// Adds a header that belongs to this event alone. One that cannot be sent, for a line break
    /// in its value say, has the event rejected.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("content_type", &self.content_type)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// `application/json`: the event as serde has it; a batch is an array.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<E: ?Sized + Event + Serialize> Encode<E> for Json {
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        match serde_json::to_vec(event) {
            Ok(body) => Ok(Message::new("application/json", body)),
            // The error's own words may be those of the event's `Serialize`, and quote it.
            Err(_) => Err("the event cannot be written as JSON".into()),
        }
    }
}

/// A format that also sends an `Idempotency-Key`: see
/// [`Builder::idempotency_key`](crate::Builder::idempotency_key).
#[derive(Clone, Copy)]
pub struct Keyed<F, K> {
    format: F,
    key: K,
}

impl<F, K> Keyed<F, K> {
    pub(crate) const fn new(format: F, key: K) -> Self {
        Self { format, key }
    }
}

impl<E, F, K, T> Encode<E> for Keyed<F, K>
where
    E: ?Sized + Event,
    F: Encode<E>,
    K: Fn(&E) -> T + Send + Sync + 'static,
    T: fmt::Display,
{
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let key = quoted(&(self.key)(event).to_string())?;
        Ok(self.format.encode(event)?.header(IDEMPOTENCY_KEY, key))
    }
}

impl<F: fmt::Debug, K> fmt::Debug for Keyed<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("format", &self.format)
            .field("key", &std::any::type_name::<K>())
            .finish()
    }
}

/// The key as a structured-field string (RFC 8941), which is what the header's definition asks for.
fn quoted(key: &str) -> Result<String, &'static str> {
    if key.is_empty() {
        return Err("the event's idempotency key is empty, which would make all events the same");
    }
    if !key.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err("the event's idempotency key holds a character that is not printable ASCII");
    }
    Ok(format!("\"{}\"", key.replace('\\', r"\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_batch_is_an_array() {
        let message = Json.encode(&["a", "b"][..]).unwrap();
        assert_eq!(message.body, br#"["a","b"]"#);
        assert_eq!(message.content_type, "application/json");
    }

    #[test]
    fn what_json_cannot_hold_is_an_error_that_does_not_quote_it() {
        let event = HashMap::from([(vec!["secret"], 1)]);
        let error = Json.encode(&event).unwrap_err();
        assert_eq!(error.to_string(), "the event cannot be written as JSON");
    }

    #[test]
    fn a_key_is_a_structured_field_string() {
        let format = Keyed::new(Json, |event: &String| event.clone());
        let key = |event: &str| {
            let message = format.encode(&event.to_owned()).map_err(|error| error.to_string())?;
            Ok::<_, String>(message.headers[0].1.clone())
        };
        assert_eq!(key("order 7").unwrap(), r#""order 7""#);
        assert_eq!(key(r#"a"b\c"#).unwrap(), r#""a\"b\\c""#);
        for bad in ["", "é", "a\nb"] {
            key(bad).unwrap_err();
        }
    }
}
