//! Events as large as they come.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use events_core::{Close, ErrorKind, Sink};
use events_http::{Encode, Encoded, Encoder, HttpSink, Message, encode_fn};
use events_queue::Queue;
use events_retry::Retry;

use crate::{
    formats::soon,
    receiver::{Receiver, answer, reset},
};

const GIBIBYTE: usize = 1 << 30;
const MEBIBYTE: usize = 1 << 20;

fn raw() -> impl Encode<Bytes> {
    encode_fn(|event: &Bytes| Ok(Message::new("application/octet-stream", event.clone())))
}

/// Reads `most` bytes of a request's body, or all of it, and keeps nothing.
fn skim(stream: &mut TcpStream, most: usize) -> io::Result<usize> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let (_, length) = head.split_once("content-length: ").unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    let mut buffer = vec![0; MEBIBYTE];
    let mut left = length.min(most);
    while left > 0 {
        let size = left.min(MEBIBYTE);
        stream.read_exact(&mut buffer[..size])?;
        left -= size;
    }
    Ok(length)
}

/// The most memory that this process ever had, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn an_event_of_a_gibibyte_is_in_memory_once_for_all_its_attempts() {
    let attempts = AtomicUsize::new(0);
    let sizes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sizes);
    let receiver = Receiver::raw(move |mut stream, _| {
        loop {
            let size = skim(&mut stream, usize::MAX)?;
            counted.fetch_add(size, Ordering::Relaxed);
            let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
            stream.write_all(&answer(if first { 503 } else { 200 }, "", b""))?;
        }
    });
    let hook = HttpSink::builder(receiver.url()).format(Encoded).build().unwrap();
    let queue = Queue::spawn(Encoder::new(Retry::new(hook, soon()), raw()));
    Sink::write(&queue, &Bytes::from(vec![b'.'; GIBIBYTE])).unwrap();
    Sink::write(&queue, &Bytes::from_static(b"small")).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().delivered, 2);
    assert_eq!(sizes.load(Ordering::Relaxed), 2 * GIBIBYTE + 5);
    #[cfg(target_os = "linux")]
    assert!(peak() < GIBIBYTE + GIBIBYTE / 2, "{} MiB", peak() / MEBIBYTE);
}

#[test]
fn a_reset_within_a_large_request_leaves_the_queue_as_it_was() {
    let connections = AtomicUsize::new(0);
    let receiver = Receiver::raw(move |mut stream, _| {
        let first = connections.fetch_add(1, Ordering::Relaxed) < 3;
        if first {
            skim(&mut stream, MEBIBYTE)?;
            return Err(reset(&stream));
        }
        loop {
            skim(&mut stream, usize::MAX)?;
            stream.write_all(&answer(200, "", b""))?;
        }
    });
    let plain = HttpSink::builder(receiver.url()).format(raw()).build().unwrap();
    let large = Bytes::from(vec![b'.'; 64 * MEBIBYTE]);
    assert_eq!(Sink::write(&plain, &large).unwrap_err().kind(), ErrorKind::Unavailable);

    let hook = HttpSink::builder(receiver.url()).format(Encoded).build().unwrap();
    let queue = Queue::spawn(Encoder::new(Retry::new(hook, soon()), raw()));
    Sink::write(&queue, &large).unwrap();
    Sink::write(&queue, &Bytes::from_static(b"small")).unwrap();
    queue.close().wait().unwrap();
    assert_eq!(queue.stats().delivered, 2);
}

#[test]
fn an_answer_that_comes_before_a_large_request_has_gone_is_the_answer() {
    let receiver = Receiver::raw(|mut stream, _| {
        skim(&mut stream, MEBIBYTE)?;
        stream.write_all(&answer(413, "Connection: close\r\n", b""))?;
        // In an orderly way, so that the answer is not lost on its way.
        stream.shutdown(std::net::Shutdown::Write)?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    });
    let sink = HttpSink::builder(receiver.url()).format(raw()).build().unwrap();
    let large = Bytes::from(vec![b'.'; 64 * MEBIBYTE]);
    let error = Sink::write(&sink, &large).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(sink.stats().client_error, 1);
}

#[test]
fn an_event_without_a_byte_says_how_long_it_is() {
    let receiver = Receiver::always(answer(200, "", b""));
    let sink = HttpSink::builder(receiver.url()).format(raw()).build().unwrap();
    Sink::write(&sink, &Bytes::new()).unwrap();
    assert_eq!(receiver.next().header("content-length"), ["0"]);
}
