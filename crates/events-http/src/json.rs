use std::error::Error;

use events_core::Event;
use serde::Serialize;

use crate::{encode::Encode, message::Message};

/// `application/json`: the event as serde has it; a batch is an array.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<E: ?Sized + Event + Serialize> Encode<E> for Json {
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let mut body = Vec::new();
        write(&mut body, event)?;
        Ok(Message::new("application/json", body))
    }
}

/// `application/x-ndjson`: each event is JSON on a line of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct NdJson;

impl NdJson {
    const MEDIA_TYPE: &str = "application/x-ndjson";
}

impl<E: Event + Serialize> Encode<E> for NdJson {
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        self.encode(std::slice::from_ref(event))
    }
}

impl<E: Event + Serialize> Encode<[E]> for NdJson {
    fn encode(&self, events: &[E]) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let mut body = Vec::new();
        for event in events {
            write(&mut body, event)?;
            body.push(b'\n');
        }
        Ok(Message::new(Self::MEDIA_TYPE, body))
    }
}

/// Appends `event` as JSON.
pub(crate) fn write<E: ?Sized + Serialize>(
    body: &mut Vec<u8>,
    event: &E,
) -> Result<(), &'static str> {
    // The error's own words may be those of the event's `Serialize`, and quote it.
    serde_json::to_writer(body, event).map_err(|_| "the event cannot be written as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_batch_is_an_array_or_lines() {
        let message = Json.encode(&["a", "b"][..]).unwrap();
        assert_eq!(message.body(), &br#"["a","b"]"#[..]);
        assert_eq!(message.content_type(), "application/json");
        let message = NdJson.encode(&["a", "b\nc"][..]).unwrap();
        assert_eq!(message.body(), &b"\"a\"\n\"b\\nc\"\n"[..]);
        assert_eq!(message.content_type(), "application/x-ndjson");
        assert_eq!(NdJson.encode(&7).unwrap().body(), &b"7\n"[..]);
    }

    #[test]
    fn what_json_cannot_hold_is_an_error_that_does_not_quote_it() {
        let event = HashMap::from([(vec!["secret"], 1)]);
        for error in [Json.encode(&event).unwrap_err(), NdJson.encode(&event).unwrap_err()] {
            assert_eq!(error.to_string(), "the event cannot be written as JSON");
        }
    }
}
