use std::{any::type_name, error::Error, fmt};

use events_core::Event;

use crate::{encode::Encode, header::IDEMPOTENCY_KEY, message::Message};

/// A format whose messages have an id, sent as `Idempotency-Key`: see
/// [`Builder::idempotency_key`](crate::Builder::idempotency_key).
#[derive(Clone, Copy)]
pub struct Keyed<F, K> {
    format: F,
    key: K,
}

impl<F, K> Keyed<F, K> {
    /// What `format` makes of an event, with the key that `key` makes of it.
    pub const fn new(format: F, key: K) -> Self {
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
        let key = (self.key)(event).to_string();
        let quoted = quoted(&key)?;
        Ok(self.format.encode(event)?.header(IDEMPOTENCY_KEY, quoted).with_id(key))
    }
}

impl<F: fmt::Debug, K> fmt::Debug for Keyed<F, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("format", &self.format)
            .field("key", &type_name::<K>())
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
    use crate::json::Json;

    #[test]
    fn a_key_is_a_structured_field_string() {
        let format = Keyed::new(Json, |event: &String| event.clone());
        let key = |event: &str| {
            let message = format.encode(&event.to_owned()).map_err(|error| error.to_string())?;
            assert_eq!(message.id.as_deref(), Some(event));
            Ok::<_, String>(message.headers[0].1.clone())
        };
        assert_eq!(key("order 7").unwrap(), r#""order 7""#);
        assert_eq!(key(r#"a"b\c"#).unwrap(), r#""a\"b\\c""#);
        for bad in ["", "é", "a\nb"] {
            key(bad).unwrap_err();
        }
    }
}
