//! What vouches for a request, as it arrives.

use std::{
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use events_core::{ErrorKind, Sink};
use events_http::{Encoded, Encoder, HttpSink, Json, Keyed, Message, Sign};
use events_retry::Retry;

use crate::{
    formats::soon,
    receiver::{Receiver, answer},
    worlds,
};

/// Counts.
#[derive(Default)]
struct Counter(AtomicU64);

impl Sign for Counter {
    fn sign(
        &self,
        message: Message,
        now: SystemTime,
    ) -> Result<Message, Box<dyn Error + Send + Sync>> {
        if message.body().is_empty() {
            return Err("nothing to sign".into());
        }
        assert!(now.elapsed().unwrap() < Duration::from_mins(1));
        let id = message.id().expect("the message has an id").to_owned();
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(message.header("X-Id", id).header("X-Number", number.to_string()))
    }
}

#[test]
fn each_attempt_is_signed_anew_and_the_id_stays() {
    let receiver = Receiver::in_turn([answer(503, "", b""), answer(200, "", b"")]);
    let hook =
        HttpSink::builder(receiver.url()).format(Encoded).sign(Counter::default()).build().unwrap();
    let format = Keyed::new(Json, |event: &u64| format!("msg_{event}"));
    let sink = Encoder::new(Retry::new(hook, soon()), format);
    Sink::write(&sink, &7).unwrap();
    for number in ["0", "1"] {
        let request = receiver.next();
        assert_eq!(request.header("x-id"), ["msg_7"]);
        assert_eq!(request.header("x-number"), [number]);
    }
}

#[test]
fn what_cannot_be_signed_is_rejected_and_not_sent() {
    for write in worlds::all::<events_http::EncodeFn<fn(&str) -> Encoding>>() {
        let receiver = Receiver::always(answer(200, "", b""));
        let format = events_http::encode_fn(empty as fn(&str) -> Encoding);
        let builder = HttpSink::builder(receiver.url()).format(format);
        let sink = builder.sign(Counter::default()).build().unwrap();
        assert_eq!(write(&sink, "event").unwrap_err().kind(), ErrorKind::Rejected);
        assert_eq!(sink.stats().attempts, 0);
    }
}

type Encoding = Result<Message, Box<dyn Error + Send + Sync>>;

#[expect(clippy::unnecessary_wraps, reason = "a format may fail")]
fn empty(_: &str) -> Encoding {
    Ok(Message::new("text/plain", ""))
}
