//! What an endpoint may ask for beyond a POST.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use events_core::{Bisect, Close, DeadLetter, ErrorKind, MaxAttempts, Memory, Sink};
use events_http::{Encoded, Encoder, HttpSink, Json, StatusPolicy, is_about_content};
use events_queue::Queue;
use events_retry::Retry;

use crate::{
    formats::soon,
    receiver::{Receiver, answer},
    worlds,
};

#[test]
fn a_body_over_the_limit_is_rejected_and_not_sent() {
    for write in worlds::all::<Json>() {
        let receiver = Receiver::always(answer(200, "", b""));
        let sink = HttpSink::builder(receiver.url()).max_payload(7).build().unwrap();
        let error = write(&sink, "secret").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(is_about_content(&error) && !format!("{error:?}").contains("secret"));
        assert_eq!(sink.stats().attempts, 0);
        write(&sink, "event").unwrap();
    }
}

/// Takes batches of JSON numbers: at most `most` at a time, no negative ones, and every fifth
/// request comes at a bad time.
fn picky(most: usize) -> (Receiver, Arc<Mutex<Vec<i64>>>) {
    let taken = Arc::<Mutex<Vec<i64>>>::default();
    let journal = Arc::clone(&taken);
    let requests = Mutex::new(0);
    let receiver = Receiver::new(move |stream, request| {
        let events: Vec<i64> = serde_json::from_slice(&request.body).unwrap();
        let mut requests = requests.lock().unwrap();
        *requests += 1;
        let status = match &events[..] {
            _ if *requests % 5 == 0 => 503,
            events if events.len() > most => 413,
            events if events.iter().any(|&event| event < 0) => 422,
            events => {
                journal.lock().unwrap().extend(events);
                200
            }
        };
        stream.write_all(&answer(status, "", b""))
    });
    (receiver, taken)
}

#[test]
fn a_batch_that_is_refused_is_split_until_only_the_events_at_fault_fail() {
    let (receiver, taken) = picky(10);
    let hook = HttpSink::builder(receiver.url()).format(Encoded).build().unwrap();
    let retry = Retry::new(hook, MaxAttempts::new(soon(), 5).unwrap());
    let letters = Arc::new(Memory::<DeadLetter<i64>>::new());
    let queue = Queue::builder()
        .dead_letter(Arc::clone(&letters))
        .batch(100, Duration::from_hours(1))
        .spawn(Bisect::new(Encoder::new(retry, Json)).when(is_about_content))
        .unwrap();
    let bad = [0, 41, 42, 199];
    let event = |number| if bad.contains(&number) { -number - 1 } else { number };
    for number in 0..200 {
        Sink::write(&queue, &event(number)).unwrap();
    }
    queue.close().wait().unwrap();
    let stats = queue.stats();
    assert_eq!((stats.accepted, stats.delivered, stats.failed), (200, 196, 4));
    let good: Vec<_> = (0..200).filter(|number| !bad.contains(number)).collect();
    assert_eq!(*taken.lock().unwrap(), good);
    let letters: Vec<_> = letters.events().iter().map(|letter| letter.event).collect();
    assert_eq!(letters, [-1, -42, -43, -200]);
}

#[test]
fn a_batch_that_is_refused_for_other_reasons_is_not_split() {
    let receiver = Receiver::always(answer(401, "", b""));
    let sink = HttpSink::builder(receiver.url()).statuses(StatusPolicy::STRICT).build().unwrap();
    let sink = Bisect::new(sink).when(is_about_content);
    let error = Sink::write(&sink, &[1, 2, 3][..]).unwrap_err();
    assert_eq!((error.kind(), error.failures().len()), (ErrorKind::Rejected, 0));
    receiver.next();
    assert!(!receiver.has_more());
}

const CONSENT: &str = "WebHook-Allowed-Origin: Events.Example.com\r\nWebHook-Allowed-Rate: *\r\n";

#[test]
fn an_endpoint_is_asked_for_consent_once_before_the_first_event() {
    for write in worlds::all::<Json>() {
        for consent in [CONSENT, "WebHook-Allowed-Origin: *\r\n"] {
            // Its status is no evidence, one way or the other.
            let receiver = Receiver::in_turn([answer(405, consent, b""), answer(200, "", b"")]);
            let sink = HttpSink::builder(receiver.url())
                .bearer_auth("token")
                .webhook_origin("events.example.com")
                .build()
                .unwrap();
            write(&sink, "first").unwrap();
            write(&sink, "second").unwrap();
            let asked = receiver.next();
            assert!(asked.head.starts_with("OPTIONS /secret?token=secret HTTP/1.1\r\n"));
            assert!(asked.body.is_empty());
            for request in [asked, receiver.next(), receiver.next()] {
                assert_eq!(request.header("webhook-request-origin"), ["events.example.com"]);
                assert_eq!(request.header("authorization"), ["Bearer token"]);
            }
            assert!(!receiver.has_more());
            assert_eq!((sink.stats().attempts, sink.stats().success), (2, 2));
        }
    }
}

#[test]
fn without_consent_nothing_is_sent() {
    let refusals = [
        (answer(200, "", b""), ErrorKind::Unavailable, None),
        (answer(200, "WebHook-Allowed-Origin: evil.com\r\n", b""), ErrorKind::Unavailable, None),
        (answer(404, "", b""), ErrorKind::Unavailable, None),
        (answer(429, "Retry-After: 7\r\n", b""), ErrorKind::Unavailable, Some(7)),
        (
            answer(200, "WebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: 0\r\n", b""),
            ErrorKind::Unavailable,
            None,
        ),
        (answer(410, "", b""), ErrorKind::Closed, None),
    ];
    for (refusal, kind, wait) in refusals {
        let consent = answer(200, CONSENT, b"");
        let receiver = Receiver::in_turn([refusal, consent, answer(200, "", b"")]);
        let sink =
            HttpSink::builder(receiver.url()).webhook_origin("events.example.com").build().unwrap();
        let error = Sink::write(&sink, "event").unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs));
        assert!(receiver.next().head.starts_with("OPTIONS "));
        assert_eq!(sink.stats().attempts, 0);
        // Consent may come later; an endpoint that is gone does not come back.
        let later = Sink::write(&sink, "event").map_err(|error| error.kind());
        assert_eq!(later, if kind == ErrorKind::Closed { Err(kind) } else { Ok(()) });
    }
}

#[test]
fn an_endpoint_that_does_not_answer_the_question_costs_one_timeout() {
    let receiver = Receiver::new(|_, _| loop_for_ever());
    let sink = HttpSink::builder(receiver.url())
        .webhook_origin("events.example.com")
        .timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = Sink::write(&sink, "event").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    sink.close().wait().unwrap();
}

fn loop_for_ever() -> std::io::Result<()> {
    loop {
        std::thread::park();
    }
}
