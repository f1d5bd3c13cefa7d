//! The notifications of a container registry, and the envelope that it posts them in.
//!
//! A registry posts `{"events":[…]}` to each of its endpoints. [`Envelope`] is that format, for any
//! event that serde can write; [`Event`] is the registry's own, typed.
//!
//! ```
//! use events_core::Sink;
//! use events_http::{HttpSink, registry};
//!
//! let hook = HttpSink::builder("http://example.com/hook").format(registry::Envelope::V1).build()?;
//! let _: &dyn Sink<registry::Event> = &hook;
//! let _: &dyn Sink<[registry::Event]> = &hook;
//! # Ok::<(), events_core::ConfigError>(())
//! ```

use std::{collections::BTreeMap, error::Error};

use serde::{Deserialize, Serialize};

use crate::{encode::Encode, json, message::Message};

/// The envelope in which a registry posts its events: `{"events":[…]}`, with any number of them.
#[derive(Debug, Clone, Copy)]
pub struct Envelope {
    media_type: &'static str,
}

impl Envelope {
    /// With the media type that every registry before version 3 sends.
    pub const V1: Self = Self { media_type: "application/vnd.docker.distribution.events.v1+json" };

    /// With the media type that registries send from version 3 on. The envelope is the same.
    pub const V2: Self = Self { media_type: "application/vnd.docker.distribution.events.v2+json" };
}

/// [`V1`](Self::V1), which every receiver knows.
impl Default for Envelope {
    fn default() -> Self {
        Self::V1
    }
}

impl<E: events_core::Event + Serialize> Encode<E> for Envelope {
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        self.encode(std::slice::from_ref(event))
    }
}

impl<E: events_core::Event + Serialize> Encode<[E]> for Envelope {
    fn encode(&self, events: &[E]) -> Result<Message, Box<dyn Error + Send + Sync>> {
        #[derive(Serialize)]
        struct Body<'a, E> {
            events: &'a [E],
        }
        let mut body = Vec::new();
        json::write(&mut body, &Body { events })?;
        Ok(Message::new(self.media_type, body))
    }
}

/// Something that happened in a registry.
///
/// Reading keeps what registries up to version 3 send; a field that a later one adds is lost. To
/// pass events on untouched, put serde's `RawValue` into the [`Envelope`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Tells it from all others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// When it happened, in RFC 3339, to the nanosecond.
    pub timestamp: String,
    /// `push`, `pull`, `mount` or `delete`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// What it happened to.
    pub target: Target,
    /// The request that made it happen.
    pub request: Request,
    /// Who sent the request.
    pub actor: Actor,
    /// The registry.
    pub source: Source,
}

/// What an [`Event`] happened to: a manifest or a blob, and where it lies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Target {
    /// The content.
    #[serde(flatten)]
    pub descriptor: Descriptor,
    /// The size once more, under the name that it first had.
    #[serde(skip_serializing_if = "is_zero")]
    pub length: i64,
    /// The name of the repository.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// For a mount, the name of the repository that the content was mounted from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from_repository: String,
    /// Where the content can be had. A delete has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The tag that the request named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tag: String,
    /// What a manifest refers to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Descriptor>,
}

/// A piece of content, by its digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    /// The content's media type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Its length in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: i64,
    /// Its digest, `sha256:…`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Where else it may be had.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Arbitrary notes on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, in base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data: String,
    /// The platform that it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artefact that is no image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub artifact_type: String,
}

/// What an image runs on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The processor, `amd64` say.
    pub architecture: String,
    /// The operating system, `linux` say.
    pub os: String,
    /// The operating system's version.
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// What it needs of the operating system.
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the processor, `v7` say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// The request that made an [`Event`] happen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// Tells it from all others.
    pub id: String,
    /// The client's address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// The host that the client asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The HTTP method.
    pub method: String,
    /// What the client calls itself.
    pub useragent: String,
}

/// Who made an [`Event`] happen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// The name that the client has shown to be its own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// The registry in which an [`Event`] happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// Its host and port.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Tells one run of it from all others.
    #[serde(rename = "instanceID", skip_serializing_if = "String::is_empty")]
    pub instance_id: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Notifications of a real registry, one a line.
    const REAL: &str = include_str!("../tests/data/registry-events.ndjson");

    fn round_trip(event: &Value) {
        let typed: Event = serde_json::from_value(event.clone()).unwrap();
        assert_eq!(&serde_json::to_value(typed).unwrap(), event);
    }

    #[test]
    fn real_events_come_out_as_they_went_in() {
        let mut actions = BTreeMap::new();
        for line in REAL.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            round_trip(&event);
            *actions.entry(event["action"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert!(actions.keys().eq(["delete", "pull", "push"]), "{actions:?}");
    }

    #[test]
    fn every_field_comes_out_as_it_went_in() {
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 7, "digest": "sha256:0",
            "urls": ["http://a"], "annotations": {"a": "b"}, "data": "AAAA", "artifactType": "text/plain",
            "platform": {"architecture": "arm", "os": "linux", "variant": "v7", "os.version": "1",
                "os.features": ["f"]},
        });
        let mut target = descriptor.clone();
        for (field, value) in [
            ("length", json!(7)),
            ("repository", json!("library/a")),
            ("fromRepository", json!("library/b")),
            ("url", json!("http://a/v2")),
            ("tag", json!("latest")),
            ("references", json!([descriptor, {"size": 1}])),
        ] {
            target[field] = value;
        }
        round_trip(&json!({
            "id": "1", "timestamp": "2026-11-23T17:48:37.73415761Z", "action": "mount",
            "target": target,
            "request": {"id": "2", "addr": "a:1", "host": "b", "method": "PUT", "useragent": "c"},
            "actor": {"name": "d"},
            "source": {"addr": "e:2", "instanceID": "f"},
        }));
    }

    #[test]
    fn an_envelope_holds_any_number_of_events() {
        let (one, many) = (json!({"id": "1"}), [json!(1), json!(2)]);
        let v1 = Envelope::V1.encode(&one).unwrap();
        assert_eq!(v1.content_type(), "application/vnd.docker.distribution.events.v1+json");
        assert_eq!(v1.body(), &br#"{"events":[{"id":"1"}]}"#[..]);
        let v2 = Envelope::V2.encode(&many[..]).unwrap();
        assert_eq!(v2.content_type(), "application/vnd.docker.distribution.events.v2+json");
        assert_eq!(v2.body(), &br#"{"events":[1,2]}"#[..]);
    }
}
