//! CloudEvents in all three ways.

use std::time::{Duration, SystemTime};

use events_core::Sink;
use events_http::{
    Encode, HttpSink, Json, Message,
    cloudevents::{Attributes, CloudEvents, InvalidAttribute},
    encode_fn,
};
use serde_json::{Value, json};

use crate::{
    as_json, node, python,
    receiver::{Receiver, answer},
};

/// Sends one event, or one batch, and returns what arrived.
fn sent<E: ?Sized + events_core::Event>(format: impl Encode<E>, event: &E) -> Value {
    let receiver = Receiver::always(answer(200, "", b""));
    let sink = HttpSink::builder(receiver.url()).format(format).build().unwrap();
    Sink::write(&sink, event).unwrap();
    as_json(&receiver.next())
}

const AWKWARD: &str = "Euro € 😀 100% \"quoted\" %20 \\ ~é";

fn attributes(event: &Value) -> Result<Attributes, InvalidAttribute> {
    Attributes::new(
        event["id"].to_string(),
        "https://example.com/shop?a=b#c",
        "com.example.é.order",
    )?
    .subject(AWKWARD)?
    .time(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123))?
    .data_schema("https://example.com/schema")?
    .extension("partitionkey", AWKWARD)?
    .extension("tries", i32::MIN)?
    .extension("late", true)
}

fn event(id: u64) -> Value {
    json!({ "id": id, "text": AWKWARD, "list": [1, 2.5, null, true] })
}

/// What every reader must find; `extensions` in the types that this way has for them.
fn expected(id: u64, tries: &Value, late: &Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": id.to_string(),
        "source": "https://example.com/shop?a=b#c",
        "type": "com.example.é.order",
        "subject": AWKWARD,
        "dataschema": "https://example.com/schema",
        "datacontenttype": "application/json",
        "partitionkey": AWKWARD,
        "tries": tries,
        "late": late,
    })
}

/// Checks one event as a reader told it; readers write the time in their own ways.
fn check(mut told: Value, id: u64, tries: &Value, late: &Value, time: &str) {
    assert_eq!(told["data"], event(id));
    let time_told = told["attributes"].as_object_mut().unwrap().remove("time").unwrap();
    assert_eq!(time_told, time);
    assert_eq!(told["attributes"], expected(id, tries, late));
}

const PYTHON_TIME: &str = "2023-11-14T22:13:20.123000+00:00";
const NODE_TIME: &str = "2023-11-14T22:13:20.123Z";

#[test]
#[ignore = "needs the programs that tests/peers/install installs"]
fn both_sdks_read_one_event_in_headers_and_in_json() {
    let number = json!(i32::MIN);
    let requests = [
        sent(CloudEvents::binary(Json, attributes), &event(7)),
        sent(CloudEvents::structured(Json, attributes), &event(7)),
    ];
    let [binary, structured] = python(&requests).try_into().unwrap();
    // Headers know no types.
    check(binary, 7, &json!(i32::MIN.to_string()), &json!("true"), PYTHON_TIME);
    check(structured, 7, &number, &json!(true), PYTHON_TIME);
    let [binary, structured] = <[Value; 2]>::try_from(node(&requests)).unwrap();
    check(binary[0].clone(), 7, &json!(i32::MIN.to_string()), &json!("true"), NODE_TIME);
    check(structured[0].clone(), 7, &number, &json!(true), NODE_TIME);
}

#[test]
#[ignore = "needs the programs that tests/peers/install installs"]
fn a_batch_is_read_event_by_event() {
    let batch = [event(1), event(2), event(3)];
    let requests = [
        sent(CloudEvents::batched(Json, attributes), &batch[..]),
        sent(CloudEvents::batched(Json, attributes), &batch[..1]),
    ];
    let told = node(&requests);
    assert_eq!(told[0].as_array().unwrap().len(), 3);
    for (number, told) in (1..).zip(told[0].as_array().unwrap()) {
        check(told.clone(), number, &json!(i32::MIN), &json!(true), NODE_TIME);
    }
    check(told[1][0].clone(), 1, &json!(i32::MIN), &json!(true), NODE_TIME);
}

#[test]
#[ignore = "needs the programs that tests/peers/install installs"]
fn data_that_is_not_json_arrives_as_it_was() {
    fn data(media_type: &'static str) -> impl Encode<[u8]> {
        encode_fn(move |event: &[u8]| Ok(Message::new(media_type, event.to_vec())))
    }
    fn plain(_: &[u8]) -> Result<Attributes, InvalidAttribute> {
        Attributes::new("1", "/a", "b")?.time(SystemTime::UNIX_EPOCH)
    }
    let (text, bytes) = ("text é", [0, 159, 146, 150, 255]);
    let requests = [
        sent(CloudEvents::structured(data("text/plain"), plain), text.as_bytes()),
        sent(CloudEvents::structured(data("application/octet-stream"), plain), &bytes[..]),
        sent(CloudEvents::binary(data("application/octet-stream"), plain), &bytes[..]),
    ];
    let told = python(&requests);
    assert_eq!(told[0]["data"], text);
    for told in &told[1..] {
        assert_eq!(told["data"], json!({ "bytes": "AJ+Slv8=" }));
    }
    // The schema holds for the first two; the SDK keeps binary data in base64.
    let told = node(&requests[..2]);
    assert_eq!(told[0][0]["data"], text);
    assert_eq!(told[1][0]["attributes"]["data_base64"], "AJ+Slv8=");
}
