//! The contract that every sink keeps.

use std::sync::{Arc, Mutex};

use events_core::{AsyncSink, Close, Closing, Sink, SinkError, conformance::Suite};
use events_http::HttpSink;

use crate::receiver::Receiver;

/// A sink with the receiver that it posts to.
struct Posting {
    sink: HttpSink,
    received: Arc<Mutex<Vec<u64>>>,
    /// Locked, since a receiver is for one thread.
    _receiver: Mutex<Receiver>,
}

impl Posting {
    fn new() -> Self {
        use std::io::Write;

        let journal = Arc::<Mutex<Vec<_>>>::default();
        let received = Arc::clone(&journal);
        let server = Receiver::new(move |stream, request| {
            let number = std::str::from_utf8(&request.body).unwrap().parse().unwrap();
            journal.lock().unwrap().push(number);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        });
        let sink = HttpSink::new(server.url()).unwrap();
        Self { sink, received, _receiver: Mutex::new(server) }
    }

    fn received(&self) -> Vec<u64> {
        self.received.lock().unwrap().clone()
    }
}

impl Close for Posting {
    fn close(&self) -> Closing<'_> {
        self.sink.close()
    }

    fn abort(&self) {
        self.sink.abort();
    }
}

impl Sink<u64> for Posting {
    fn write(&self, event: &u64) -> Result<(), SinkError> {
        Sink::write(&self.sink, event)
    }
}

impl AsyncSink<u64> for Posting {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        AsyncSink::write(&self.sink, event).await
    }
}

#[test]
fn on_threads() {
    Suite::sink(Posting::new, |number| number).observed(Posting::received).run();
}

#[test]
fn in_tasks_of_any_executor() {
    Suite::async_sink(Posting::new, |number| number).observed(Posting::received).run();
}

#[test]
fn in_tasks_of_tokio() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    Suite::async_sink(Posting::new, |number| number)
        .observed(Posting::received)
        .driven_by(move |future| runtime.block_on(future))
        .run();
}
