use std::{
    future::Future,
    io::{self, Read, Write},
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Waker},
    thread,
    time::Duration,
};

use events_core::{AsyncSink, Close, ErrorKind, Sink};
use events_http::{HttpSink, Json};

use crate::{
    receiver::{Receiver, answer},
    worlds,
};

/// A receiver that answers when it is told to, and a signal for each request that it holds.
fn holding() -> (Receiver, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (tell, arrives) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let receiver = Receiver::new(move |stream, _| {
        tell.send(()).unwrap();
        released.lock().unwrap().recv().map_err(io::Error::other)?;
        stream.write_all(&answer(200, "", b""))
    });
    (receiver, arrives, release)
}

/// A receiver that answers never, and ends when the other side does.
fn silent() -> (Receiver, mpsc::Receiver<()>) {
    let (tell, arrives) = mpsc::channel();
    let receiver = Receiver::new(move |stream, _| {
        tell.send(()).unwrap();
        stream.read(&mut [0]).and(Err(io::ErrorKind::ConnectionAborted.into()))
    });
    (receiver, arrives)
}

fn patient(receiver: &Receiver) -> Arc<HttpSink> {
    let timeout = Duration::from_hours(1);
    Arc::new(HttpSink::builder(receiver.url()).timeout(timeout).build().unwrap())
}

#[test]
fn close_waits_for_the_requests_in_flight() {
    for write in worlds::all::<Json>() {
        let (receiver, arrives, release) = holding();
        let sink = patient(&receiver);
        let writer = thread::spawn({
            let sink = Arc::clone(&sink);
            move || write(&sink, "event")
        });
        arrives.recv().unwrap();
        {
            let mut cx = Context::from_waker(Waker::noop());
            let mut closing = pin!(sink.close());
            assert!(closing.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(write(&sink, "late").unwrap_err().kind(), ErrorKind::Closed);
        release.send(()).unwrap();
        sink.close().wait().unwrap();
        writer.join().unwrap().unwrap();
        sink.close().wait().unwrap();
        assert_eq!(sink.stats().attempts, 1);
    }
}

#[test]
fn abort_ends_a_request_in_flight() {
    for write in worlds::all::<Json>() {
        let (receiver, arrives) = silent();
        let sink = patient(&receiver);
        let writer = thread::spawn({
            let sink = Arc::clone(&sink);
            move || write(&sink, "event")
        });
        arrives.recv().unwrap();
        sink.abort();
        assert_eq!(writer.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        receiver.ended().unwrap_err();
        assert_eq!(write(&sink, "late").unwrap_err().kind(), ErrorKind::Closed);
        sink.close().wait().unwrap();
        assert_eq!(sink.stats().unanswered, 1);
    }
}

#[test]
fn abort_helps_a_close_that_waits() {
    let (receiver, arrives) = silent();
    let sink = patient(&receiver);
    let writer = thread::spawn({
        let sink = Arc::clone(&sink);
        move || worlds::on_a_thread(&sink, "event")
    });
    arrives.recv().unwrap();
    let closing = sink.close();
    sink.abort();
    closing.wait().unwrap();
    writer.join().unwrap().unwrap_err();
}

#[test]
fn close_does_not_wait_for_a_request_that_nobody_drives() {
    let (receiver, _arrives) = silent();
    let timeout = Duration::from_millis(100);
    let sink = HttpSink::builder(receiver.url()).timeout(timeout).build().unwrap();
    worlds::runtime().block_on(async {
        let mut write = pin!(AsyncSink::write(&sink, "event"));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(write.as_mut().poll(&mut cx).is_pending());
        sink.close().await.unwrap();
    });
}

#[test]
fn a_dropped_write_gives_the_request_up() {
    // In tokio the request is the future itself.
    let (receiver, arrives) = silent();
    let sink = patient(&receiver);
    worlds::runtime().block_on(async {
        let mut write = Box::pin(AsyncSink::write(&*sink, "event"));
        let waiting = tokio::task::spawn_blocking(move || arrives.recv().unwrap());
        tokio::select! {
            result = &mut write => panic!("{result:?}"),
            _ = waiting => drop(write),
        }
        tokio::task::spawn_blocking(move || receiver.ended().unwrap_err()).await.unwrap();
    });
    assert_eq!(sink.stats().unanswered, 1);

    // Elsewhere it is a task that somebody else runs.
    let (receiver, arrives) = silent();
    let sink = patient(&receiver);
    let mut write = Box::pin(AsyncSink::write(&*sink, "event"));
    assert!(write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    arrives.recv().unwrap();
    drop(write);
    receiver.ended().unwrap_err();
}

#[test]
fn blocking_in_a_task_is_refused() {
    let receiver = Receiver::always(answer(200, "", b""));
    for mut builder in
        [tokio::runtime::Builder::new_current_thread(), tokio::runtime::Builder::new_multi_thread()]
    {
        let runtime = builder.enable_all().build().unwrap();
        let sink = Arc::new(HttpSink::new(receiver.url()).unwrap());
        runtime.block_on(async {
            let error = Sink::write(&*sink, "event").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldDeadlock);
            assert_eq!(sink.stats().attempts, 0);
            // Where a thread may block, it may.
            let ours = Arc::clone(&sink);
            let write = move || Sink::write(&*ours, "event");
            tokio::task::spawn_blocking(write).await.unwrap().unwrap();
            AsyncSink::write(&*sink, "event").await.unwrap();
        });
    }
}

#[test]
fn a_sink_of_threads_may_be_built_and_dropped_in_a_task() {
    let receiver = Receiver::always(answer(200, "", b""));
    worlds::runtime().block_on(async {
        let sink = HttpSink::new(receiver.url()).unwrap();
        let sink = thread::spawn(move || {
            Sink::write(&sink, "event").unwrap();
            sink
        });
        // The last one of its kind, perhaps, and so the end of the thread behind it.
        drop(sink.join().unwrap());
    });
}
