use std::{collections::HashMap, time::Duration};

use events_core::{ErrorKind, Sink};
use events_http::{Client, HttpSink, Json};

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

#[test]
fn the_receiver_gets_what_was_set_up() {
    for write in worlds::all() {
        let receiver = Receiver::always(answer(200, "", b""));
        let sink = HttpSink::builder(receiver.url())
            .header("X-Tag", "one")
            .header("X-Tag", "two")
            .basic_auth("user", "password")
            .user_agent("shop/1.0")
            .idempotency_key(|event: &str| format!("key {}", event.len()))
            .build()
            .unwrap();
        write(&sink, "é").unwrap();
        let request = receiver.next();
        assert!(request.head.starts_with("POST /secret?token=secret HTTP/1.1\r\n"));
        assert_eq!(request.header("content-type"), ["application/json"]);
        assert_eq!(request.header("x-tag"), ["one", "two"]);
        assert_eq!(request.header("authorization"), ["Basic dXNlcjpwYXNzd29yZA=="]);
        assert_eq!(request.header("user-agent"), ["shop/1.0"]);
        assert_eq!(request.header("idempotency-key"), ["\"key 2\""]);
        assert_eq!(request.header("content-length"), ["4"]);
        assert_eq!(request.body, "\"é\"".as_bytes());
    }
}

#[test]
fn defaults_and_a_token() {
    let receiver = Receiver::always(answer(200, "", b""));
    let sink = HttpSink::builder(receiver.url()).bearer_auth("a token").build().unwrap();
    sink.write(&7).unwrap();
    let request = receiver.next();
    assert_eq!(request.header("authorization"), ["Bearer a token"]);
    assert!(request.header("user-agent")[0].starts_with("events-http/"));
    assert!(request.header("idempotency-key").is_empty());
    assert_eq!(request.body, b"7");
}

#[test]
fn the_key_is_that_of_the_event_and_a_bad_one_sends_nothing() {
    let receiver = Receiver::always(answer(200, "", b""));
    let sink = HttpSink::builder(receiver.url())
        .idempotency_key(|event: &String| event.clone())
        .build()
        .unwrap();
    sink.write(&"7".to_owned()).unwrap();
    sink.write(&"7".to_owned()).unwrap();
    assert_eq!(receiver.next().header("idempotency-key"), ["\"7\""]);
    assert_eq!(receiver.next().header("idempotency-key"), ["\"7\""]);
    assert_eq!(sink.write(&String::new()).unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(sink.stats().attempts, 2);
}

#[test]
fn the_set_up_content_type_takes_the_place_of_the_formats() {
    let receiver = Receiver::always(answer(200, "", b""));
    let media = "application/vnd.docker.distribution.events.v1+json";
    let sink = HttpSink::builder(receiver.url()).header("content-type", media).build().unwrap();
    sink.write(&7).unwrap();
    assert_eq!(receiver.next().header("content-type"), [media]);
}

#[test]
fn an_event_without_a_form_is_rejected_and_nothing_is_sent() {
    for write in worlds::all::<Json>() {
        let receiver = Receiver::always(answer(200, "", b""));
        let sink = HttpSink::new(receiver.url()).unwrap();
        let error = sink.write(&HashMap::from([(vec!["secret"], 1)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(!format!("{error:?}").contains("secret"));
        assert_eq!(sink.stats().attempts, 0);
        write(&sink, "next").unwrap();
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let chunked = b"HTTP/1.1 202 Any\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    for taken in [answer(200, "", &vec![b'.'; 50_000]), chunked.to_vec(), answer(503, "", b"no")] {
        let receiver = Receiver::always(taken);
        let sink = HttpSink::new(receiver.url()).unwrap();
        for event in 0..20 {
            let _ = sink.write(&event);
            assert_reused(&receiver);
        }
    }
}

#[test]
fn an_answer_beyond_the_cap_costs_its_connection_and_no_more() {
    for write in worlds::all() {
        let receiver = Receiver::always(answer(200, "", &vec![b'.'; 10_000_000]));
        let sink = HttpSink::new(receiver.url()).unwrap();
        for connection in 0..3 {
            write(&sink, "event").unwrap();
            // The rest of the answer has nobody to go to.
            receiver.ended().unwrap_err();
            assert_eq!(receiver.next().connection, connection);
        }
    }
}

#[test]
fn sinks_share_a_clients_connections() {
    let receiver = Receiver::always(answer(200, "", b""));
    let client = Client::builder().connect_timeout(Duration::from_secs(9)).build().unwrap();
    for event in 0..20 {
        let sink = HttpSink::builder(receiver.url()).client(&client).build().unwrap();
        sink.write(&event).unwrap();
        assert_reused(&receiver);
    }
}

/// A connection that comes back a moment late is replaced by another, which then stays: there may
/// be a few, but not one for each of the 20 requests.
fn assert_reused(receiver: &Receiver) {
    assert!(receiver.next().connection < 10);
}
