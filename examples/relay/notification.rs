//! What is relayed: a registry's notification, or any other JSON object.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};
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

impl<'de> Deserialize<'de> for Notification {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let body = Box::<RawValue>::deserialize(input)?;
        Self::parse(body.get().as_bytes()).map_err(de::Error::custom)
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification").finish_non_exhaustive()
    }
}
