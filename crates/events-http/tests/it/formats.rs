//! What a format makes of events, as it arrives.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use events_core::{
    AsyncSink, Close, ErrorKind, ExponentialBackoff, Memory, Sink, conformance::Suite,
};
use events_http::{
    Encoded, Encoder, HttpSink, Json, Keyed, Message,
    cloudevents::{Attributes, CloudEvents},
    encode_fn, registry,
};
use events_queue::Queue;
use events_retry::Retry;

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

/// Hardly any wait between two attempts, for ever.
pub(crate) fn soon() -> ExponentialBackoff {
    let soon = Duration::from_millis(1);
    ExponentialBackoff::builder().minimum(soon).maximum(soon).build().unwrap()
}

#[test]
fn an_event_is_encoded_once_for_all_its_attempts() {
    let encoded = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&encoded);
    let format = encode_fn(move |event: &u64| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Message::new("text/plain", event.to_string()))
    });
    let format = Keyed::new(format, |event: &u64| *event);

    let receiver =
        Receiver::in_turn([answer(503, "", b""), answer(503, "", b""), answer(200, "", b"")]);
    let hook = HttpSink::builder(receiver.url()).format(Encoded).build().unwrap();
    let sink = Encoder::new(Retry::new(hook, soon()), format);
    Sink::write(&sink, &7).unwrap();
    for _ in 0..3 {
        let request = receiver.next();
        assert_eq!(request.body, b"7");
        assert_eq!(request.header("idempotency-key"), ["\"7\""]);
    }
    assert_eq!(encoded.load(Ordering::Relaxed), 1);
    worlds::runtime().block_on(AsyncSink::write(&sink, &8)).unwrap();
    assert_eq!(encoded.load(Ordering::Relaxed), 2);
}

#[test]
fn an_encoder_keeps_the_contract() {
    let number = || encode_fn(|event: &u64| Ok(Message::new("text/plain", event.to_string())));
    let read = |message: &Message| str::from_utf8(message.body()).unwrap().parse().unwrap();
    Suite::sink::<u64, _>(move || Encoder::new(Memory::<Message>::new(), number()), |event| event)
        .observed(move |sink| sink.get_ref().events().iter().map(read).collect())
        .run();
}

#[test]
fn what_has_no_form_is_rejected_until_the_encoder_is_closed() {
    let fails = encode_fn(|_: &str| Err("no form".into()));
    let sink = Encoder::new(Memory::<Message>::new(), fails);
    assert_eq!(Sink::write(&sink, "event").unwrap_err().kind(), ErrorKind::Rejected);
    sink.close().wait().unwrap();
    assert_eq!(Sink::write(&sink, "event").unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn real_notifications_arrive_in_an_envelope_as_they_were() {
    let lines = include_str!("../data/registry-events.ndjson").lines();
    let events: Vec<serde_json::Value> =
        lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let receiver = Receiver::always(answer(202, "", b""));
    let hook = HttpSink::builder(receiver.url()).format(registry::Envelope::V2).build().unwrap();
    let queue = Queue::builder().batch(events.len(), Duration::from_hours(1)).spawn(hook).unwrap();
    for event in &events {
        let typed: registry::Event = serde_json::from_value(event.clone()).unwrap();
        Sink::write(&queue, &typed).unwrap();
    }
    queue.close().wait().unwrap();
    let request = receiver.next();
    let media_type = "application/vnd.docker.distribution.events.v2+json";
    assert_eq!(request.header("content-type"), [media_type]);
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, serde_json::json!({ "events": events }));
}

#[test]
fn a_binary_cloud_event_has_its_attributes_in_headers() {
    for write in worlds::all() {
        let receiver = Receiver::always(answer(200, "", b""));
        let attributes = |event: &str| Attributes::new(event, "/shop", "a.b")?.subject("Euro € 😀");
        let format = CloudEvents::binary(Json, attributes);
        let sink = HttpSink::builder(receiver.url()).format(format).build().unwrap();
        write(&sink, "an id").unwrap();
        let request = receiver.next();
        assert_eq!(request.header("ce-id"), ["an%20id"]);
        assert_eq!(request.header("ce-specversion"), ["1.0"]);
        assert_eq!(request.header("ce-subject"), ["Euro%20%E2%82%AC%20%F0%9F%98%80"]);
        assert_eq!(request.header("content-type"), ["application/json"]);
        assert!(request.header("ce-datacontenttype").is_empty());
        assert_eq!(request.body, b"\"an id\"");
    }
}
