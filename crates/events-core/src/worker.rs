use std::{
    fmt,
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use crate::{
    AsyncSink, Close, Closing, ErrorKind, Event, Flow, Outlet, Sink, SinkError,
    clock::{self, Sleep},
    feed::{Chunk, Reader},
    isolate,
};

/// Drives one [`Reader`] into one sink until all is delivered or given up: the one loop under
/// every queue and subscription, on threads and in tasks.
///
/// Dropping it, even before it ran, ends the account: what is pending is dropped, and closers are
/// told.
pub struct Worker<E: Event + Clone, D> {
    reader: Reader<E>,
    outlet: Arc<Outlet<E>>,
    sink: D,
    linger: Linger,
}

/// How long a worker waits for how many events.
#[derive(Debug, Clone, Copy)]
pub struct Linger {
    /// Enough events not to wait for more.
    pub events: usize,
    /// How long the first of them waits at most.
    pub limit: Duration,
}

impl Linger {
    /// Takes what is there.
    pub const NONE: Self = Self { events: 1, limit: Duration::ZERO };
}

impl<E: Event + Clone, D: Deliver<E>> Worker<E, D> {
    /// The worker that settles what `reader` reads with `outlet`.
    pub const fn new(reader: Reader<E>, outlet: Arc<Outlet<E>>, sink: D, linger: Linger) -> Self {
        Self { reader, outlet, sink, linger }
    }

    /// Delivers all there is and will be, then closes the sink.
    pub async fn run(mut self) {
        let mut chunk = None;
        let mut flow = Flow::Go;
        while flow == Flow::Go {
            chunk = self.next().await;
            let Some(chunk) = &chunk else { break };
            flow = self.deliver(chunk).await;
            // Tasks share their thread: one run of events at a time.
            yield_now().await;
        }
        self.give_up_rest(chunk).await;
        let mut closing = pin!(self.outlet.close_sink());
        let closed = poll_fn(|cx| match closing.as_mut().poll(cx) {
            Poll::Ready(closed) => Poll::Ready(closed),
            // Whoever takes over closes the sink too.
            Poll::Pending => self.outlet.poll_taken(cx).map(Ok),
        });
        self.outlet.finish(closed.await.err());
    }

    /// The next chunk; `None` when there is nothing to deliver any more.
    async fn next(&mut self) -> Option<Arc<Chunk<E>>> {
        let Self { reader, outlet, linger, .. } = self;
        let mut alarm: Option<Sleep> = None;
        poll_fn(|cx| {
            if let Poll::Ready(chunk) = reader.poll_chunk(cx, linger.events) {
                return Poll::Ready(chunk);
            }
            if linger.events > 1
                && let Some(since) = outlet.feed().since(reader.at())
            {
                let left =
                    || linger.limit.saturating_sub(clock::now().saturating_duration_since(since));
                let alarm = alarm.get_or_insert_with(|| clock::sleep(left()));
                if pin!(alarm).poll(cx).is_ready() {
                    return reader.poll_chunk(cx, 1);
                }
            }
            outlet.poll_stop(reader.at(), cx).map(|()| None)
        })
        .await
    }

    /// Gives the sink what it has not had of `chunk`.
    async fn deliver(&mut self, chunk: &Arc<Chunk<E>>) -> Flow {
        let mut flow = self.outlet.enter(chunk);
        while flow == Flow::Go {
            flow = match self.deliver_until_panic(chunk).await {
                Ok(flow) => return flow,
                Err(panicked) => self.fail_one(chunk, &panicked),
            };
        }
        flow
    }

    /// The same as far as it goes without a panic.
    async fn deliver_until_panic(&mut self, chunk: &Chunk<E>) -> Result<Flow, SinkError> {
        let Self { reader, outlet, sink, .. } = self;
        let mut run = pin!(deliver_run(reader, outlet, sink, chunk));
        poll_fn(|cx| match isolate::call(outlet.id(), || run.as_mut().poll(cx)) {
            Ok(Poll::Ready(flow)) => Poll::Ready(Ok(flow)),
            Ok(Poll::Pending) => outlet.poll_taken(cx).map(|()| Ok(Flow::Stop)),
            Err(panicked) => Poll::Ready(Err(panicked)),
        })
        .await
    }

    /// Settles the events over which the sink panicked.
    fn fail_one(&mut self, chunk: &Chunk<E>, panicked: &SinkError) -> Flow {
        let events = chunk.from(self.reader.at());
        let events = &events[..self.sink.span(events.len())];
        let flow = self.outlet.fail(events, panicked);
        self.reader.advance_to(self.reader.at() + events.len() as u64);
        flow
    }

    /// Hands on what will not be delivered, if the worker was stopped before its end.
    async fn give_up_rest(&mut self, mut chunk: Option<Arc<Chunk<E>>>) {
        let gone = self.outlet.is_gone();
        let closed = SinkError::new(ErrorKind::Closed, "the destination has closed");
        let given_up =
            SinkError::new(ErrorKind::Undelivered, "given up when the queue was aborted");
        let reader = &mut self.reader;
        while !self.outlet.is_taken() {
            skip_lag(reader, &self.outlet);
            let Some(chunk) = chunk.take().or_else(|| reader.try_chunk()) else { return };
            let left = self.outlet.stop().saturating_sub(reader.at()) as usize;
            let events = chunk.from(reader.at());
            let events = &events[..events.len().min(left)];
            if gone {
                self.outlet.fail(events, &closed);
            } else {
                self.outlet.abandon(events, &given_up);
            }
            reader.advance_to(reader.at() + events.len() as u64);
            if left == 0 {
                return;
            }
            yield_now().await;
        }
    }
}

/// Delivers the events of `chunk` that `reader` has yet to read, one after the other.
async fn deliver_run<E: Event + Clone, D: Deliver<E>>(
    reader: &mut Reader<E>,
    outlet: &Outlet<E>,
    sink: &D,
    chunk: &Chunk<E>,
) -> Flow {
    loop {
        skip_lag(reader, outlet);
        let at = reader.at();
        let events = chunk.from(at);
        let left = outlet.stop().saturating_sub(at).min(events.len() as u64) as usize;
        if left == 0 {
            return Flow::Go;
        }
        let events = &events[..sink.span(left)];
        let flow = match sink.deliver(events).await {
            Ok(()) => outlet.settle(events.len() as u64),
            Err(error) => outlet.fail(events, &error),
        };
        reader.advance_to(at + events.len() as u64);
        if flow == Flow::Stop {
            return flow;
        }
    }
}

/// Leaves out what lies further behind than the reader's bound allows.
fn skip_lag<E: Event + Clone>(reader: &mut Reader<E>, outlet: &Outlet<E>) {
    let lag = reader.lag();
    if lag > 0 {
        outlet.skip(lag);
        reader.advance_to(reader.at() + lag);
    }
}

/// Lets other tasks run; a thread comes back at once.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl<E: Event + Clone, D> Drop for Worker<E, D> {
    fn drop(&mut self) {
        self.outlet.worker_dropped();
    }
}

impl<E: Event + Clone, D> fmt::Debug for Worker<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("outlet", &self.outlet).finish_non_exhaustive()
    }
}

/// How a sink is given events that lie side by side.
pub trait Deliver<E>: Send + Sync {
    /// How many of `available` events it is given at once.
    fn span(&self, available: usize) -> usize;

    /// Writes `events`, as many as [`span`](Self::span) said.
    fn deliver(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// One after the other, to a sink of `E`.
#[derive(Debug)]
pub struct Each<S>(pub S);

impl<E: Event, S: AsyncSink<E>> Deliver<E> for Each<S> {
    fn span(&self, _available: usize) -> usize {
        1
    }

    fn deliver(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.0.write(&events[0])
    }
}

/// All at once, to a sink of `[E]`.
#[derive(Debug)]
pub struct Batches<S>(pub S);

impl<E: Event, S: AsyncSink<[E]>> Deliver<E> for Batches<S> {
    fn span(&self, available: usize) -> usize {
        available
    }

    fn deliver(&self, events: &[E]) -> impl Future<Output = Result<(), SinkError>> + Send {
        self.0.write(events)
    }
}

/// A sink for threads in the place of one for tasks; each write blocks whoever polls it.
#[derive(Debug)]
pub struct Blocking<S>(pub S);

impl<S: Close> Close for Blocking<S> {
    fn close(&self) -> Closing<'_> {
        self.0.close()
    }

    fn abort(&self) {
        self.0.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>> AsyncSink<E> for Blocking<S> {
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send {
        ready(self.0.write(event))
    }
}
