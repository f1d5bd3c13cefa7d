//! CloudEvents 1.0.2: the three ways to send them over HTTP.
//!
//! An event's [`Attributes`] say what it is; its data is what another format makes of it. A closure
//! gives the attributes of each event.
//!
//! ```
//! use events_core::Sink;
//! use events_http::{HttpSink, Json, cloudevents::{Attributes, CloudEvents}};
//!
//! #[derive(serde::Serialize)]
//! struct Order {
//!     id: u64,
//! }
//!
//! let format = CloudEvents::structured(Json, |order: &Order| {
//!     Attributes::new(order.id.to_string(), "/shop", "com.example.order.placed")
//! });
//! let sink = HttpSink::builder("http://example.com/orders").format(format).build()?;
//! let _: &dyn Sink<Order> = &sink;
//! # Ok::<(), events_core::ConfigError>(())
//! ```
//!
//! An event's id is its message's too, which is what a signature covers.

mod attributes;

use std::{any::type_name, error::Error, fmt, marker::PhantomData};

use base64::{Engine, prelude::BASE64_STANDARD};
use events_core::Event;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

pub use attributes::{Attributes, InvalidAttribute, Value};

use crate::{encode::Encode, message::Message};

type Failure = Box<dyn Error + Send + Sync>;

/// An event, or a batch of them, as CloudEvents have it: `M` says in which of the three ways.
#[derive(Clone, Copy)]
pub struct CloudEvents<M, F, A> {
    data: F,
    attributes: A,
    mode: PhantomData<fn() -> M>,
}

/// Attributes as headers, the data as the body: see [`CloudEvents::binary`].
#[derive(Debug, Clone, Copy)]
pub enum Binary {}

/// Attributes and data as one JSON object: see [`CloudEvents::structured`].
#[derive(Debug, Clone, Copy)]
pub enum Structured {}

/// A batch as an array of JSON objects: see [`CloudEvents::batched`].
#[derive(Debug, Clone, Copy)]
pub enum Batched {}

impl<F, A> CloudEvents<Binary, F, A> {
    /// Attributes as headers, and as the body what the format `data` makes of an event: a receiver
    /// that knows nothing of CloudEvents can read it.
    pub const fn binary(data: F, attributes: A) -> Self {
        Self { data, attributes, mode: PhantomData }
    }
}

impl<F, A> CloudEvents<Structured, F, A> {
    /// Attributes and data as one JSON object, `application/cloudevents+json`.
    ///
    /// What the format `data` makes of an event is part of the object if it is JSON, a string if
    /// its media type is one for text, and else base64.
    pub const fn structured(data: F, attributes: A) -> Self {
        Self { data, attributes, mode: PhantomData }
    }
}

impl<F, A> CloudEvents<Batched, F, A> {
    /// A batch as an array of such objects, `application/cloudevents-batch+json`, for receivers
    /// that have asked for batches; others need not know them.
    pub const fn batched(data: F, attributes: A) -> Self {
        Self { data, attributes, mode: PhantomData }
    }
}

impl<M, F, A> CloudEvents<M, F, A> {
    fn parts<E: ?Sized + Event>(&self, event: &E) -> Result<(Message, Attributes), Failure>
    where
        F: Encode<E>,
        A: Fn(&E) -> Result<Attributes, InvalidAttribute>,
    {
        Ok((self.data.encode(event)?, (self.attributes)(event)?))
    }
}

impl<E, F, A> Encode<E> for CloudEvents<Binary, F, A>
where
    E: ?Sized + Event,
    F: Encode<E>,
    A: Fn(&E) -> Result<Attributes, InvalidAttribute> + Send + Sync + 'static,
{
    fn encode(&self, event: &E) -> Result<Message, Failure> {
        let (mut message, attributes) = self.parts(event)?;
        for (name, value) in attributes.iter() {
            message = message.header(format!("ce-{name}"), percent_encoded(&value.to_string()));
        }
        Ok(message.with_id(attributes.id()))
    }
}

impl<E, F, A> Encode<E> for CloudEvents<Structured, F, A>
where
    E: ?Sized + Event,
    F: Encode<E>,
    A: Fn(&E) -> Result<Attributes, InvalidAttribute> + Send + Sync + 'static,
{
    fn encode(&self, event: &E) -> Result<Message, Failure> {
        let (data, attributes) = self.parts(event)?;
        let body = serde_json::to_vec(&Whole { attributes: &attributes, data: data_of(&data)? })?;
        let mut message =
            Message::new("application/cloudevents+json", body).with_id(attributes.id());
        message.headers = data.headers;
        Ok(message)
    }
}

impl<E, F, A> Encode<[E]> for CloudEvents<Batched, F, A>
where
    E: Event,
    F: Encode<E>,
    A: Fn(&E) -> Result<Attributes, InvalidAttribute> + Send + Sync + 'static,
{
    fn encode(&self, events: &[E]) -> Result<Message, Failure> {
        let mut body = Vec::new();
        let mut json = serde_json::Serializer::new(&mut body);
        let mut array = json.serialize_seq(Some(events.len()))?;
        for event in events {
            let (data, attributes) = self.parts(event)?;
            array.serialize_element(&Whole { attributes: &attributes, data: data_of(&data)? })?;
        }
        SerializeSeq::end(array)?;
        Ok(Message::new("application/cloudevents-batch+json", body))
    }
}

impl<M, F: fmt::Debug, A> fmt::Debug for CloudEvents<M, F, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudEvents")
            .field("mode", &type_name::<M>())
            .field("data", &self.data)
            .field("attributes", &type_name::<A>())
            .finish()
    }
}

/// The data of an event in the way that its media type asks for.
fn data_of(message: &Message) -> Result<Data<'_>, &'static str> {
    let media_type = message.content_type();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (kind, subtype) = essence.split_once('/').unwrap_or_default();
    let is = |suffix: &str| {
        subtype == suffix || subtype.rsplit_once('+').is_some_and(|(_, last)| last == suffix)
    };
    let body = message.body();
    let bytes = if is("json") {
        let json = serde_json::from_slice(body);
        DataBytes::Json(json.map_err(|_| "the event's data is said to be JSON, and is not")?)
    } else {
        match str::from_utf8(body) {
            Ok(text) if kind == "text" || is("xml") => DataBytes::Text(text),
            _ => DataBytes::Binary(body),
        }
    };
    Ok(Data { media_type, bytes })
}

struct Data<'a> {
    media_type: &'a str,
    bytes: DataBytes<'a>,
}

enum DataBytes<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Binary(&'a [u8]),
}

/// An event in the JSON format.
struct Whole<'a> {
    attributes: &'a Attributes,
    data: Data<'a>,
}

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.attributes.iter() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("datacontenttype", self.data.media_type)?;
        match self.data.bytes {
            DataBytes::Json(json) => map.serialize_entry("data", json)?,
            DataBytes::Text(text) => map.serialize_entry("data", text)?,
            DataBytes::Binary(bytes) => {
                map.serialize_entry("data_base64", &BASE64_STANDARD.encode(bytes))?;
            }
        }
        map.end()
    }
}

/// A header's value: all but printable ASCII, and the space, `"` and `%` with it, in percent
/// encoding.
fn percent_encoded(value: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(value.len());
    for &byte in value.as_bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'%') {
            encoded.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
            encoded.extend(['%'].into_iter().chain(digits));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode_fn, json::Json};
    use std::time::{Duration, SystemTime};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "a format is given a reference")]
    fn attributes(id: &u64) -> Result<Attributes, InvalidAttribute> {
        Attributes::new(id.to_string(), "/shop", "order.placed")?
            .subject("Euro € 😀")?
            .time(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500))?
            .extension("tries", 3)?
            .extension("late", true)
    }

    #[test]
    fn binary_has_its_attributes_in_headers() {
        let message = CloudEvents::binary(Json, attributes).encode(&7).unwrap();
        let headers: Vec<_> =
            message.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            headers,
            [
                ("ce-specversion", "1.0"),
                ("ce-id", "7"),
                ("ce-source", "/shop"),
                ("ce-type", "order.placed"),
                ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
                ("ce-time", "1970-01-01T00:00:01.500000000Z"),
                ("ce-tries", "3"),
                ("ce-late", "true"),
            ]
        );
        assert_eq!(message.content_type(), "application/json");
        assert_eq!(message.body(), &b"7"[..]);
        assert_eq!(message.id.as_deref(), Some("7"));
        assert_eq!(percent_encoded("a\"%\u{7f}~!"), "a%22%25%7F~!");
    }

    #[test]
    fn structured_is_one_object() {
        let message = CloudEvents::structured(Json, attributes).encode(&7).unwrap();
        assert_eq!(message.content_type(), "application/cloudevents+json");
        assert!(message.headers.is_empty());
        assert_eq!(
            str::from_utf8(message.body()).unwrap(),
            r#"{"specversion":"1.0","id":"7","source":"/shop","type":"order.placed","subject":"Euro € 😀","time":"1970-01-01T00:00:01.500000000Z","tries":3,"late":true,"datacontenttype":"application/json","data":7}"#
        );
    }

    #[test]
    fn data_is_inline_text_or_base64_by_its_media_type() {
        let plain = |_: &[u8]| Attributes::new("1", "/a", "b");
        for (media_type, body, expected) in [
            ("application/vnd.a+json; charset=utf-8", &b"[1]"[..], Some(r#""data":[1]"#)),
            ("text/plain", b"\"hi\"", Some(r#""data":"\"hi\"""#)),
            ("application/xml", b"<a/>", Some(r#""data":"<a/>""#)),
            ("text/plain", b"\xff", Some(r#""data_base64":"/w==""#)),
            ("application/octet-stream", b"hi", Some(r#""data_base64":"aGk=""#)),
            ("application/json", b"{", None),
        ] {
            let data = encode_fn(move |body: &[u8]| Ok(Message::new(media_type, body.to_vec())));
            let message = CloudEvents::structured(data, plain).encode(body).ok();
            let told = message.map(|message| String::from_utf8(message.body().to_vec()).unwrap());
            match expected {
                Some(end) => assert!(told.unwrap().ends_with(&format!("{end}}}")), "{media_type}"),
                None => assert_eq!(told, None),
            }
        }
    }

    #[test]
    fn a_batch_is_an_array_of_objects() {
        let plain = |id: &u64| Attributes::new(id.to_string(), "/a", "b");
        let format = CloudEvents::batched(Json, plain);
        let message = format.encode(&[1, 2][..]).unwrap();
        assert_eq!(message.content_type(), "application/cloudevents-batch+json");
        let ids: Vec<serde_json::Value> = serde_json::from_slice(message.body()).unwrap();
        assert_eq!(ids[1]["id"], "2");
        assert_eq!(ids.len(), 2);
        assert_eq!(format.encode(&[][..]).unwrap().body(), &b"[]"[..]);
    }

    #[test]
    fn what_is_no_event_has_no_form() {
        let bad = |_: &u64| Attributes::new("", "/secret", "secret");
        let error = CloudEvents::binary(Json, bad).encode(&7).unwrap_err();
        assert_eq!(error.to_string(), "the attribute id is empty");
        assert!(format!("{:?}", CloudEvents::binary(Json, bad)).contains("what_is_no_event"));
    }
}
