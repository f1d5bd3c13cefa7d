//! Where connections go, through what, and how many.

use std::{
    future::ready,
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use events_core::{Close, ErrorKind, Sink};
use events_http::{AddressPolicy, Client, HttpSink, Json, is_about_content};

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

fn public_only() -> Client {
    Client::builder().address_policy(AddressPolicy::PublicOnly).build().unwrap()
}

#[test]
fn a_private_address_in_a_url_is_refused_however_it_is_written() {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "0",
        "0.0.0.0",
        "10.1",
        "172.16.1",
        "192.168.257",
        "169.254.169.254",
        "0xa9fea9fe",
        "100.64.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "255.255.255.255",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::FFFF:10.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a00:1]",
        "[fe80::1]",
        "[fd00::1]",
        "[ff02::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
    ];
    let client = public_only();
    for host in hosts {
        for (before, after) in [("", ""), ("", ":8080"), ("", ":8080/127.0.0.1?a=8.8.8.8")] {
            let url = format!("http://{before}{host}{after}");
            let refused = HttpSink::builder(&url).client(&client).build();
            let error = refused.expect_err(&url).to_string();
            assert_eq!(error, "url holds an address that is not public", "{url}");
        }
    }
    HttpSink::builder("http://8.8.8.8").client(&client).build().unwrap();
    HttpSink::builder("http://[2606:4700::1111]:80").client(&client).build().unwrap();
}

#[test]
fn a_name_of_a_private_address_is_rejected_at_each_attempt_and_nothing_is_sent() {
    for write in worlds::all::<Json>() {
        let receiver = Receiver::always(answer(200, "", b""));
        let address = receiver.address();
        let lookups = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lookups);
        let client = Client::builder()
            .address_policy(AddressPolicy::PublicOnly)
            .resolver(move |name| {
                assert_eq!(name, "rebind.example");
                counted.fetch_add(1, Ordering::Relaxed);
                ready(Ok(vec![address, ([0; 8], 0).into()]))
            })
            .build()
            .unwrap();
        let url = format!("http://rebind.example:{}/secret", address.port());
        let sink = HttpSink::builder(url).client(&client).build().unwrap();
        for attempt in 1..4 {
            let error = write(&sink, "event").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected);
            assert!(!is_about_content(&error) && !format!("{error:?}").contains("secret"));
            assert_eq!(lookups.load(Ordering::Relaxed), attempt);
        }
        assert!(!receiver.has_connections());
    }
}

#[test]
fn localhost_is_not_public() {
    let receiver = Receiver::always(answer(200, "", b""));
    let url = format!("http://localhost:{}", receiver.address().port());
    let sink = HttpSink::builder(url).client(&public_only()).build().unwrap();
    let error = Sink::write(&sink, "event").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(!receiver.has_connections());
}

#[test]
fn what_a_resolver_answers_is_where_connections_go() {
    let receiver = Receiver::always(answer(200, "", b""));
    let address = receiver.address();
    let here: SocketAddr = (address.ip(), 0).into();
    let client = Client::builder().resolver(move |_| ready(Ok(vec![here]))).build().unwrap();
    let url = format!("http://anywhere.example:{}", address.port());
    let sink = HttpSink::builder(url).client(&client).build().unwrap();
    Sink::write(&sink, "event").unwrap();
    assert_eq!(receiver.next().header("host"), [format!("anywhere.example:{}", address.port())]);

    let fails = |_| ready(Err(io::Error::other("no such name")));
    let client = Client::builder().resolver(fails).build().unwrap();
    let sink = HttpSink::builder("http://anywhere.example").client(&client).build().unwrap();
    assert_eq!(Sink::write(&sink, "event").unwrap_err().kind(), ErrorKind::Unavailable);
    let client = Client::builder().resolver(|_| ready(Ok(Vec::new()))).build().unwrap();
    let sink = HttpSink::builder("http://anywhere.example").client(&client).build().unwrap();
    assert_eq!(Sink::write(&sink, "event").unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn a_redirect_is_not_followed_and_takes_nothing_elsewhere() {
    for write in worlds::all::<Json>() {
        let elsewhere = Receiver::always(answer(200, "", b""));
        for status in [301, 302, 303, 307, 308] {
            let to = format!("Location: {}\r\n", elsewhere.url());
            let receiver = Receiver::always(answer(status, &to, b""));
            let sink = HttpSink::builder(receiver.url()).bearer_auth("secret").build().unwrap();
            assert_eq!(write(&sink, "event").unwrap_err().kind(), ErrorKind::Unavailable);
        }
        assert!(!elsewhere.has_connections());
    }
}

#[test]
fn a_proxy_gets_what_is_sent_and_its_own_credentials() {
    let proxy = Receiver::always(answer(200, "", b""));
    let url = format!("http://{}", proxy.address());
    let client = Client::builder().proxy_with_auth(url, "user", "password").build().unwrap();
    let sink = HttpSink::builder("http://far.example/hook")
        .client(&client)
        .bearer_auth("token")
        .build()
        .unwrap();
    Sink::write(&sink, "event").unwrap();
    let request = proxy.next();
    assert!(request.head.starts_with("POST http://far.example/hook HTTP/1.1\r\n"));
    assert_eq!(request.header("proxy-authorization"), ["Basic dXNlcjpwYXNzd29yZA=="]);
    assert_eq!(request.header("authorization"), ["Bearer token"]);
}

/// A receiver that counts how many requests it has at a time, and answers when told to.
struct Gate {
    requests: Mutex<(usize, usize)>,
    opens: Condvar,
    limit: usize,
}

#[test]
fn no_more_requests_are_under_way_than_the_client_may_have() {
    let gate = Arc::new(Gate { requests: Mutex::new((0, 0)), opens: Condvar::new(), limit: 3 });
    let held = Arc::clone(&gate);
    let receiver = Receiver::new(move |stream, _| {
        let mut requests = held.requests.lock().unwrap();
        requests.0 += 1;
        requests.1 = requests.1.max(requests.0);
        held.opens.notify_all();
        // Answers once there are as many as there may be: with fewer allowed, this would hang.
        let full = |it: &mut (usize, usize)| it.1 < held.limit;
        let mut requests = held.opens.wait_while(requests, full).unwrap();
        requests.0 -= 1;
        drop(requests);
        stream.write_all(&answer(200, "", b""))
    });
    let client = Client::builder().max_requests(3).build().unwrap();
    let sinks = [0, 1].map(|_| HttpSink::builder(receiver.url()).client(&client).build().unwrap());
    thread::scope(|scope| {
        for number in 0..12 {
            let sink = &sinks[number % 2];
            scope.spawn(move || Sink::write(sink, "event").unwrap());
        }
    });
    assert_eq!(gate.requests.lock().unwrap().1, 3);
}

#[test]
fn who_waits_too_long_for_a_slot_may_try_again() {
    let receiver = Receiver::new(|_, _| {
        loop {
            thread::park();
        }
    });
    let client = Client::builder().max_requests(1).build().unwrap();
    let sink = |timeout| {
        HttpSink::builder(receiver.url()).client(&client).timeout(timeout).build().unwrap()
    };
    let (stuck, late) = (sink(Duration::from_mins(10)), sink(Duration::from_millis(50)));
    thread::scope(|scope| {
        scope.spawn(|| Sink::write(&stuck, "event").unwrap_err());
        receiver.connected();
        let written = Sink::write(&late, "event");
        // Before anything is asserted: a panic would wait for the one that is stuck.
        stuck.abort();
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(late.stats().attempts, 0);
    });
    // The slot came back with the request that was given up.
    assert_eq!(Sink::write(&late, "event").unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(late.stats().attempts, 1);
}

#[cfg(feature = "http2")]
#[test]
fn http2_is_spoken_where_it_is_asked_for() {
    use hyper::{Request, Response, body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        let serve = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.version(), hyper::Version::HTTP_2);
            Ok::<_, std::convert::Infallible>(Response::new("taken".to_owned()))
        });
        // One connection, whatever comes.
        let (stream, _) = listener.accept().await.unwrap();
        drop(listener);
        http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), serve)
            .await
    });
    let client = Client::builder().only_http2().build().unwrap();
    let sink = HttpSink::builder(format!("http://{address}")).client(&client).build().unwrap();
    thread::scope(|scope| {
        // The first opens the connection that all share.
        Sink::write(&sink, "event").unwrap();
        for _ in 0..8 {
            scope.spawn(|| Sink::write(&sink, "event").unwrap());
        }
    });
    assert_eq!(sink.stats().success, 9);
}
