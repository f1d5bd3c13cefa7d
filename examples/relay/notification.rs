//! What is relayed: a registry's notification, or any other JSON object.

use std::{error::Error, fmt, sync::Arc};

use events_http::{Encode, Message};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

/// One event, with the fields that endpoints choose by. The rest is passed on as it came.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Notification {
    body: Box<RawValue>,
    #[serde(skip)]
    pub id: Option<String>,
    #[serde(skip)]
    pub action: Option<String>,
    #[serde(skip)]
    pub media_type: Option<String>,
}

/// What queues hold and clone: a count, not the event.
pub type Event = Arc<Notification>;

impl Notification {
    /// Reads one JSON object. The error says what is wrong, and shows nothing of it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let broken = |error: serde_json::Error| {
            if error.is_data() {
                "is JSON, but not an object".to_owned()
            } else {
                format!("is not JSON, from column {}", error.column())
            }
        };
        let body: Box<RawValue> = serde_json::from_slice(json).map_err(broken)?;
        let fields: Map<String, Value> = serde_json::from_str(body.get()).map_err(broken)?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            id: text(fields.get("id")),
            action: text(fields.get("action")),
            media_type: text(fields.get("target").and_then(|target| target.get("mediaType"))),
            body,
        })
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification").finish_non_exhaustive()
    }
}

/// How a registry posts its events: `{"events":[…]}`.
#[derive(Debug, Clone, Copy)]
pub struct Envelope;

impl Encode<[Event]> for Envelope {
    fn encode(&self, events: &[Event]) -> Result<Message, Box<dyn Error + Send + Sync>> {
        #[derive(Serialize)]
        struct Body<'a> {
            events: &'a [Event],
        }
        let body = serde_json::to_vec(&Body { events })?;
        Ok(Message::new("application/vnd.docker.distribution.events.v1+json", body))
    }
}
