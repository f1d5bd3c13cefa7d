use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use events_core::{
    ErrorKind::{self, Closed, Rejected, Unavailable},
    Sink, SinkError,
};
use events_http::{HttpSink, NdJson, StatusPolicy};

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

#[test]
fn the_status_decides() {
    for write in worlds::all() {
        for (status, expected) in [
            (200, None),
            (201, None),
            (202, None),
            (204, None),
            (400, Some(Rejected)),
            (404, Some(Unavailable)),
            (408, Some(Unavailable)),
            (413, Some(Rejected)),
            (425, Some(Unavailable)),
            (429, Some(Unavailable)),
            (500, Some(Unavailable)),
            (501, Some(Unavailable)),
            (503, Some(Unavailable)),
            (505, Some(Unavailable)),
            (799, Some(Unavailable)),
        ] {
            let body = if status == 204 { &b""[..] } else { b"a body" };
            let receiver = Receiver::always(answer(status, "", body));
            let sink = HttpSink::new(receiver.url()).unwrap();
            let error = write(&sink, "event").err();
            assert_eq!(error.as_ref().map(events_core::SinkError::kind), expected, "{status}");
            if let Some(error) = error {
                assert!(error.source().unwrap().to_string().contains(&status.to_string()));
            }
        }
    }
}

#[test]
fn every_answer_is_counted_by_its_class() {
    let receiver =
        Receiver::in_turn([204, 301, 400, 404, 500].map(|status| answer(status, "", b"")));
    let sink = HttpSink::new(receiver.url()).unwrap();
    for _ in 0..5 {
        let _ = worlds::on_a_thread(&sink, "event");
    }
    let stats = sink.stats();
    let classes = [stats.success, stats.redirection, stats.client_error, stats.server_error];
    assert_eq!(classes, [1, 1, 2, 1]);
    assert_eq!(stats.attempts, 5);
}

#[test]
fn a_redirect_is_not_followed() {
    for write in worlds::all() {
        for status in [301, 302, 303, 307, 308] {
            let elsewhere = Receiver::always(answer(200, "", b""));
            let location = format!("Location: {}\r\n", elsewhere.url());
            let receiver = Receiver::always(answer(status, &location, b""));
            let sink = HttpSink::new(receiver.url()).unwrap();
            assert_eq!(write(&sink, "event").unwrap_err().kind(), Unavailable);
            assert!(receiver.next().head.starts_with("POST"));
            assert!(!elsewhere.has_more());
            assert_eq!(sink.stats().attempts, 1);
        }
    }
}

#[test]
fn gone_is_for_good() {
    for write in worlds::all() {
        let receiver = Receiver::in_turn([answer(410, "", b""), answer(200, "", b"")]);
        let sink = HttpSink::new(receiver.url()).unwrap();
        assert_eq!(write(&sink, "first").unwrap_err().kind(), Closed);
        assert_eq!(write(&sink, "second").unwrap_err().kind(), Closed);
        assert_eq!(sink.stats().attempts, 1);
    }
}

#[test]
fn retry_after_reaches_the_error() {
    let in_an_age = SystemTime::now() + Duration::from_hours(24);
    let in_an_age = httpdate::fmt_http_date(in_an_age);
    for (value, seconds) in [("7", 7), ("Sunday, 06-Nov-94 08:49:37 GMT", 0), (&in_an_age, 3600)] {
        for status in [429, 503, 413] {
            let header = format!("Retry-After: {value}\r\n");
            let receiver = Receiver::always(answer(status, &header, b""));
            let sink = HttpSink::new(receiver.url()).unwrap();
            let error = worlds::on_a_thread(&sink, "event").unwrap_err();
            assert_eq!(error.kind(), Unavailable);
            assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)));
        }
    }
}

#[test]
fn answers_before_the_answer_do_not_count() {
    for write in worlds::all() {
        let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let both = [early.as_bytes(), &answer(503, "", b"")].concat();
        let receiver = Receiver::always(both);
        let sink = HttpSink::new(receiver.url()).unwrap();
        assert_eq!(write(&sink, "event").unwrap_err().kind(), Unavailable);
        assert_eq!(sink.stats().server_error, 1);
    }
}

#[test]
fn a_switch_of_protocols_is_no_delivery() {
    let switch = "HTTP/1.1 101 Any\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    let receiver = Receiver::always(switch);
    let sink = HttpSink::new(receiver.url()).unwrap();
    let kind = worlds::on_a_thread(&sink, "event").unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::Rejected | ErrorKind::Unavailable), "{kind:?}");
}

#[test]
fn a_conflict_is_in_flight_if_there_is_a_key() {
    let receiver = Receiver::always(answer(409, "", b""));
    let strict = || HttpSink::builder(receiver.url()).statuses(StatusPolicy::STRICT);
    let plain = strict().build().unwrap();
    assert_eq!(worlds::on_a_thread(&plain, "event").unwrap_err().kind(), Rejected);
    let keyed = strict().idempotency_key(|event: &str| event.to_owned());
    let keyed = keyed.build().unwrap();
    assert_eq!(worlds::on_a_thread(&keyed, "event").unwrap_err().kind(), Unavailable);
}

#[test]
fn a_status_means_what_the_program_says() {
    for write in worlds::all() {
        let receiver = Receiver::in_turn([404, 503, 410].map(|status| answer(status, "", b"")));
        let statuses = StatusPolicy::STRICT.retry([404, 410]).reject([503]);
        let sink = HttpSink::builder(receiver.url()).statuses(statuses).build().unwrap();
        let kinds = [(); 3].map(|()| write(&sink, "event").unwrap_err().kind());
        assert_eq!(kinds, [Unavailable, Rejected, Unavailable]);
    }
}

#[test]
fn a_classifier_reads_what_failed_of_a_batch_inside_a_200() {
    let body = b"failed: 1, of which the rest of this body does not tell";
    let receiver =
        Receiver::in_turn([answer(200, "X-Partial: yes\r\n", body), answer(503, "", b"")]);
    let sink = HttpSink::builder(receiver.url())
        .format(NdJson)
        .classify(9, |answer| {
            answer.header("x-partial")?;
            assert_eq!((answer.status, answer.body), (200, &b"failed: 1"[..]));
            let failed = vec![(1, SinkError::unavailable("later"))];
            Some(SinkError::of_batch(failed).map_or(Ok(()), Err))
        })
        .build()
        .unwrap();
    let error = Sink::write(&sink, ["a", "b", "c"].as_slice()).unwrap_err();
    assert_eq!(error.failures().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1]);
    // What it says nothing of is left to the statuses, and on the same connection.
    let error = Sink::write(&sink, ["d"].as_slice()).unwrap_err();
    assert_eq!((error.kind(), error.failures().len()), (Unavailable, 0));
    assert_eq!([receiver.next().connection, receiver.next().connection], [0, 0]);
}
