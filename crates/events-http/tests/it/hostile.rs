use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use events_core::{ErrorKind::Unavailable, SinkError};
use events_http::{HttpSink, Json};

use crate::{
    receiver::{Receiver, answer, read_request, reset},
    worlds,
};

/// Long enough for an exchange on loopback to begin, short enough to be waited for.
const SHORT: Duration = Duration::from_millis(100);

/// Longer than any test lasts.
const LONG: Duration = Duration::from_mins(10);

/// A sink that is set up with secrets wherever there is room for one.
fn sink(url: &str, timeout: Duration) -> HttpSink {
    HttpSink::builder(url)
        .header("X-Token", "secret")
        .bearer_auth("secret")
        .timeout(timeout)
        .build()
        .unwrap()
}

fn assert_unavailable(error: &SinkError) {
    assert_eq!(error.kind(), Unavailable);
    let mut told = format!("{error:?}");
    let mut source: Option<&dyn Error> = Some(error);
    while let Some(error) = source {
        write!(told, " {error} {error:?}").unwrap();
        source = error.source();
    }
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_receiver_that_never_answers_costs_one_timeout() {
    for write in worlds::all::<Json>() {
        let receiver = Receiver::new(|stream, request| {
            if request.connection == 0 {
                // Until the other side gives up.
                return stream.read(&mut [0]).and(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            stream.write_all(&answer(200, "", b""))
        });
        let sink = sink(&receiver.url(), SHORT);
        assert_unavailable(&write(&sink, "secret").unwrap_err());
        assert_eq!(sink.stats().unanswered, 1);
        receiver.ended().unwrap_err();
        // The sink is none the worse for it.
        write(&sink, "event").unwrap();
    }
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret?token=secret", listener.local_addr().unwrap());
    drop(listener);
    for write in worlds::all::<Json>() {
        assert_unavailable(&write(&sink(&url, LONG), "secret").unwrap_err());
    }
}

#[test]
fn a_reset_before_the_answer_is_whole_leaves_the_event_undelivered() {
    let phases: [fn(&mut std::net::TcpStream) -> io::Result<()>; 5] = [
        |_| Ok(()),
        |stream| stream.read_exact(&mut [0; 20]),
        |stream| read_request(stream, 0).map(drop),
        |stream| read_request(stream, 0).and_then(|_| stream.write_all(b"HTTP/1.1 20")),
        |stream| {
            read_request(stream, 0)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ")
        },
    ];
    for write in worlds::all::<Json>() {
        for phase in phases {
            for reset_it in [true, false] {
                let receiver = Receiver::raw(move |mut stream, _| {
                    phase(&mut stream)?;
                    if reset_it { Err(reset(&stream)) } else { Ok(()) }
                });
                let sink = sink(&receiver.url(), LONG);
                assert_unavailable(&write(&sink, "secret").unwrap_err());
                let stats = sink.stats();
                assert_eq!((stats.attempts, stats.unanswered), (1, 1));
            }
        }
    }
}

#[test]
fn a_reset_in_the_answers_body_changes_nothing_of_the_answer() {
    for write in worlds::all::<Json>() {
        let receiver = Receiver::new(|stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha")?;
            Err(reset(stream))
        });
        let sink = sink(&receiver.url(), LONG);
        write(&sink, "event").unwrap();
        write(&sink, "event").unwrap();
    }
}

#[test]
fn an_endless_body_is_not_read_to_its_end() {
    let heads = ["Transfer-Encoding: chunked\r\n\r\n", "Connection: close\r\n\r\n"];
    for write in worlds::all::<Json>() {
        for head in heads {
            let receiver = Receiver::new(move |stream, _| {
                write!(stream, "HTTP/1.1 200 OK\r\n{head}")?;
                loop {
                    stream.write_all(b"8\r\n........\r\n")?;
                }
            });
            let sink = sink(&receiver.url(), LONG);
            write(&sink, "event").unwrap();
            receiver.ended().unwrap_err();
        }
    }
}

#[test]
fn a_body_that_drips_is_not_waited_for() {
    for write in worlds::all::<Json>() {
        let receiver = Receiver::new(|stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")?;
            drip(stream, b".")
        });
        let sink = sink(&receiver.url(), SHORT * 3);
        write(&sink, "event").unwrap();
        receiver.ended().unwrap_err();
    }
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    for write in worlds::all::<Json>() {
        let flood = Receiver::new(|stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream.write_all(b"X-More: ........\r\n")?;
            }
        });
        assert_unavailable(&write(&sink(&flood.url(), LONG), "secret").unwrap_err());
        flood.ended().unwrap_err();

        let dripping = Receiver::new(|stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-More: ")?;
            drip(stream, b".")
        });
        assert_unavailable(&write(&sink(&dripping.url(), SHORT), "secret").unwrap_err());
        dripping.ended().unwrap_err();

        let hints = Receiver::new(|stream, _| drip(stream, b"HTTP/1.1 103 Any\r\n\r\n"));
        assert_unavailable(&write(&sink(&hints.url(), SHORT), "secret").unwrap_err());
        hints.ended().unwrap_err();
    }
}

#[test]
fn what_is_not_http_is_no_answer() {
    let nonsense: [&[u8]; 4] = [
        b"secret\r\n\r\n",
        b"HTTP/1.1 9999 secret\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: secret\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ];
    for write in worlds::all::<Json>() {
        for bytes in nonsense {
            let receiver = Receiver::new(|stream, _| {
                stream.write_all(bytes)?;
                Err(io::ErrorKind::ConnectionAborted.into())
            });
            let sink = sink(&receiver.url(), LONG);
            assert_unavailable(&write(&sink, "secret").unwrap_err());
        }
    }
}

/// A little now and then, until nobody takes it.
fn drip(stream: &mut impl Write, drop: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(drop)?;
        thread::sleep(Duration::from_millis(1));
    }
}
