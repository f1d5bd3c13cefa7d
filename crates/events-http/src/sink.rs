use std::{fmt, sync::Arc};

use events_core::{
    AsyncSink, Close, Closing, ConfigError, Event, Sink, SinkError,
    engine::{clock, park::block_on},
};
use tokio::runtime::Handle;

use crate::{encode::Encode, endpoint::Endpoint, json::Json, refusal::Unfit, stats::HttpStats};

/// Posts each event to an HTTP endpoint: one write, one request, one attempt.
///
/// A [`Sink`] for threads and an [`AsyncSink`] for tasks in one. In a tokio runtime a request runs
/// right there; anywhere else on a thread of this crate, which all sinks of the process share, so
/// that every executor will do. A write to the [`Sink`] from inside a task, which it would hold
/// up, is refused with [`WouldDeadlock`](events_core::ErrorKind::WouldDeadlock).
///
/// | the endpoint | the write |
/// |---|---|
/// | 2xx | `Ok` |
/// | 400, 413 without `Retry-After`, 414, 415, 422, 431 | [`Rejected`](events_core::ErrorKind::Rejected): it is about this event |
/// | 410 | [`Closed`](events_core::ErrorKind::Closed), and so is every later write |
/// | every other answer; 3xx is not followed | [`Unavailable`](events_core::ErrorKind::Unavailable), with `Retry-After`, up to an hour |
/// | no connection, no answer in time, a reset | `Unavailable`; the event may have arrived |
///
/// Another [`StatusPolicy`](crate::StatusPolicy) may say otherwise, and a
/// [classifier](crate::Builder::classify) look into answers. The source of such an error is a [`Refusal`](crate::Refusal), which has the status.
///
/// [`close`](Close::close) waits for the requests in flight, at most their timeout;
/// [`abort`](Close::abort) ends them at once, with `Closed`.
///
/// ```
/// # let (url, _receiver) = events_http_doc::receiver();
/// # mod events_http_doc {
/// #     use std::{io::{Read, Write}, net::TcpListener, thread};
/// #     pub fn receiver() -> (String, thread::JoinHandle<()>) {
/// #         let listener = TcpListener::bind("127.0.0.1:0").unwrap();
/// #         let url = format!("http://{}", listener.local_addr().unwrap());
/// #         (url, thread::spawn(move || {
/// #             let (mut stream, _) = listener.accept().unwrap();
/// #             let mut request = Vec::new();
/// #             while !request.ends_with(b"\"deployed\"") {
/// #                 let mut byte = [0];
/// #                 stream.read_exact(&mut byte).unwrap();
/// #                 request.push(byte[0]);
/// #             }
/// #             stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
/// #         }))
/// #     }
/// # }
/// use events_core::{Close, Sink};
/// use events_http::HttpSink;
///
/// let hook = HttpSink::new(url)?;
/// hook.write(&"deployed")?;
/// hook.close().wait()?;
/// assert_eq!(hook.stats().success, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HttpSink<F = Json> {
    format: F,
    endpoint: Arc<Endpoint>,
}

impl HttpSink {
    /// Posts to `url`, as JSON, with the defaults of the [`builder`](Self::builder).
    ///
    /// # Errors
    /// Those of [`Builder::build`](crate::Builder::build).
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(url).build()
    }
}

impl<F> HttpSink<F> {
    pub(crate) fn from_parts(format: F, endpoint: Endpoint) -> Self {
        Self { format, endpoint: Arc::new(endpoint) }
    }

    /// What was sent so far, and how it was answered.
    pub fn stats(&self) -> HttpStats {
        self.endpoint.stats()
    }

    /// The request for `event`, yet to be sent; it borrows nothing.
    fn post<E: ?Sized + Event>(
        &self,
        event: &E,
    ) -> Result<impl Future<Output = Result<(), SinkError>> + Send + use<E, F>, SinkError>
    where
        F: Encode<E>,
    {
        let message = self.format.encode(event).map_err(Unfit::error)?;
        Ok(Arc::clone(&self.endpoint).post(message))
    }
}

impl<E: ?Sized + Event, F: Encode<E>> Sink<E> for HttpSink<F> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        self.endpoint.check_open()?;
        if clock::blocks_a_task() {
            return Err(SinkError::would_deadlock(
                "a blocking HTTP request inside an async runtime: use the sink as an AsyncSink, \
                 or put it behind a queue with a thread",
            ));
        }
        let post = self.post(event)?;
        block_on(self.endpoint.client().background()?.run(post))
    }
}

impl<E: ?Sized + Event, F: Encode<E>> AsyncSink<E> for HttpSink<F> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.endpoint.check_open()?;
        let post = self.post(event)?;
        if Handle::try_current().is_ok() {
            post.await
        } else {
            self.endpoint.client().background()?.run(post).await
        }
    }
}

impl<F: Send + Sync> Close for HttpSink<F> {
    fn close(&self) -> Closing<'_> {
        self.endpoint.begin_close();
        Closing::new(async {
            self.endpoint.idle().await;
            Ok(())
        })
    }

    fn abort(&self) {
        self.endpoint.abort();
    }
}

impl<F> fmt::Debug for HttpSink<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink")
            .field("endpoint", &self.endpoint.origin())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
