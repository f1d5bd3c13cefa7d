use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use events_core::{
    AsyncSink, Close, CloseOnDrop, Closing, ErrorKind, Event, Overflow, Sink, SinkError, Stats,
    engine::{
        Account, Mode,
        clock::{self, Sleep},
        feed::{Refused, Ticket},
        park::block_on,
    },
};

/// Takes events at once and delivers them, in order, to the sink behind it.
///
/// A handle: clones share the queue, and it implements both [`Sink`] and [`AsyncSink`]. The sink
/// is written to by a worker, a thread or a future; or by several side by side, with
/// [`concurrency`](crate::Builder::concurrency). Dropping the last handle closes the queue without
/// waiting: what was accepted is still delivered, as long as the process lives;
/// [`close_on_drop`](Self::close_on_drop) waits.
///
/// A child that `fork` makes has none of its parent's threads: there the queue takes events and delivers
/// none. Fork first, and make the queue in the child.
///
/// # Default
/// Unbounded, one event at a time, no dead letter. [`builder`](Self::builder) has the rest.
///
/// ```
/// use std::sync::Arc;
/// use events_core::{Close, Memory, Sink};
/// use events_queue::Queue;
///
/// let memory = Arc::new(Memory::new());
/// let queue = Queue::spawn(Arc::clone(&memory));
/// queue.write(&"started")?;
/// queue.close().wait()?;
/// assert_eq!(memory.events(), ["started"]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct Queue<E: Event + Clone> {
    handle: Arc<Handle<E>>,
}

/// What all handles share; the worker does not hold it, so that the last handle's drop is seen.
struct Handle<E: Event + Clone> {
    account: Arc<Account<E>>,
    overflow: Overflow,
}

impl<E: Event + Clone> Queue<E> {
    /// A queue whose worker is a thread.
    ///
    /// # Panics
    /// If the operating system cannot start a thread, as [`std::thread::spawn`] does;
    /// [`Builder::spawn`](crate::Builder::spawn) returns an error instead.
    pub fn spawn(sink: impl Sink<E> + 'static) -> Self {
        Self::builder().spawn(sink).expect("a thread for the queue's worker")
    }

    /// A queue and its worker: a future to be spawned on any executor.
    ///
    /// Nothing is delivered unless the worker is polled. Dropping it closes the queue: what is
    /// pending is dropped, counted, and handed to the dead letter.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use events_core::{AsyncSink, Close, Memory};
    /// use events_queue::Queue;
    ///
    /// # events_core::engine::park::block_on(async {
    /// let memory = Arc::new(Memory::new());
    /// let (queue, worker) = Queue::pair(Arc::clone(&memory));
    /// let worker = std::thread::spawn(|| events_core::engine::park::block_on(worker)); // or any executor
    /// queue.write(&"started").await?;
    /// queue.close().await?;
    /// assert_eq!(memory.events(), ["started"]);
    /// # worker.join().unwrap();
    /// # Ok::<(), events_core::SinkError>(())
    /// # }).unwrap();
    /// ```
    #[expect(clippy::missing_panics_doc, reason = "the defaults are valid")]
    pub fn pair(
        sink: impl AsyncSink<E> + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        Self::builder().pair(sink).expect("the defaults are valid")
    }

    /// A queue whose worker is a task of the current tokio runtime.
    ///
    /// # Panics
    /// Outside a runtime, as [`tokio::spawn`] does; [`Builder::spawn_tokio`](crate::Builder::spawn_tokio) returns an error
    /// instead.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(sink: impl AsyncSink<E> + 'static) -> Self {
        Self::builder().spawn_tokio(sink).expect("a tokio runtime for the queue's worker")
    }

    pub(crate) fn new(account: Arc<Account<E>>, overflow: Overflow) -> Self {
        Self { handle: Arc::new(Handle { account, overflow }) }
    }

    /// A barrier: ends once every event accepted before is delivered, failed or dropped, and is `Ok`
    /// whichever that was: [`stats`](Self::stats) and the close tell. The queue stays open, and what the
    /// sink itself buffers is not waited for.
    pub fn flush(&self) -> Closing<'_> {
        self.handle.account.flush()
    }

    /// [`close`](Close::close), but at the end of `limit` what is left is given up: the sink is
    /// [aborted](Close::abort), and every event that it has not committed is counted and handed to
    /// the dead letter. It ends a moment after the limit at the latest, however stuck the sink.
    ///
    /// The limit counts from now. It is kept by whoever waits for the [`Closing`]; if nobody does,
    /// the close goes on without it.
    ///
    /// # Errors
    /// [`Undelivered`](events_core::ErrorKind::Undelivered), with the number of events given up.
    pub fn close_within(&self, limit: Duration) -> Closing<'_> {
        self.handle.account.close_within(limit)
    }

    /// A guard that calls [`close_within`](Self::close_within) when it is dropped, and waits for that: so
    /// that what was written gets there before `main` returns. It is a handle as well.
    ///
    /// It blocks its thread, for `limit` and a moment more at most. Where that would starve the worker,
    /// inside a task while the worker is a task too, the wait is refused, told through
    /// `tracing`, and the close goes on without it: in a task, `.await` a
    /// [`close_within`](Self::close_within) instead.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use events_core::{Memory, Sink};
    /// use events_queue::Queue;
    ///
    /// let memory = Arc::new(Memory::new());
    /// {
    ///     let queue = Queue::spawn(Arc::clone(&memory));
    ///     let _guard = queue.close_on_drop(Duration::from_secs(10));
    ///     queue.write(&"started")?;
    /// }
    /// assert_eq!(memory.events(), ["started"]);
    /// # Ok::<(), events_core::SinkError>(())
    /// ```
    pub fn close_on_drop(&self, limit: Duration) -> CloseOnDrop {
        let queue = self.clone();
        CloseOnDrop::new(move || queue.close_within(limit).wait())
    }

    /// What became of the events so far.
    pub fn stats(&self) -> Stats {
        self.handle.account.stats()
    }

    /// Delivers nothing more until [`resume`](Self::resume). What is in the sink's hands goes on, and
    /// writes are taken as before, within the capacity. A close ends it.
    pub fn pause(&self) {
        self.handle.account.pause();
    }

    /// Delivers again after a [`pause`](Self::pause).
    pub fn resume(&self) {
        self.handle.account.resume();
    }

    /// Delivers again after the queue was [`Disabled`](Mode::Disabled).
    pub fn enable(&self) {
        self.handle.account.enable();
    }

    /// Whether it delivers, is paused, or was disabled by
    /// [`disable_after`](crate::Builder::disable_after).
    pub fn mode(&self) -> Mode {
        self.handle.account.mode()
    }

    /// The queue's name in traces, and that of its thread.
    pub fn name(&self) -> &str {
        self.handle.account.name()
    }

    /// Puts `event` into the queue, or at the end of the wait queue for room.
    fn offer(&self, event: E) -> Result<Option<Ticket<E>>, SinkError> {
        let Handle { account, overflow } = &*self.handle;
        let event = match account.feed().push(event) {
            Ok(()) => return Ok(None),
            Err(Refused::Closed(_)) => return Err(SinkError::closed()),
            Err(Refused::Full(event)) => event,
        };
        match overflow {
            Overflow::Block | Overflow::BlockFor(_) => {
                account.feed().wait_for_room(event).map(Some).map_err(|_| SinkError::closed())
            }
            Overflow::DropNewest => {
                account.drop_unwritten();
                Ok(None)
            }
            _ => Err(SinkError::full()),
        }
    }

    /// Waits for room, as long as the policy says.
    async fn wait_for_room(&self, ticket: Ticket<E>) -> Result<(), SinkError> {
        let Handle { account, overflow } = &*self.handle;
        let mut timeout: Option<Sleep> = match overflow {
            Overflow::BlockFor(timeout) => Some(clock::sleep(*timeout)),
            _ => None,
        };
        let mut ticket = Some(ticket);
        let mut wait = None;
        poll_fn(|cx| {
            let Some(waiting) = &mut ticket else { return Poll::Ready(Ok(())) };
            if let Poll::Ready(result) = waiting.poll_admitted(cx) {
                return Poll::Ready(result.map_err(SinkError::from));
            }
            let checked = match timeout {
                Some(_) => account.check_wait(),
                None => account.begin_wait(&mut wait),
            };
            let why = if let Err(deadlock) = checked {
                deadlock
            } else if timeout.as_mut().is_none_or(|timeout| pin!(timeout).poll(cx).is_pending()) {
                return Poll::Pending;
            } else {
                SinkError::full()
            };
            // The event may have been let in just now, and then all is well.
            Poll::Ready(match ticket.take().map_or(Ok(()), Ticket::cancel) {
                Err(ErrorKind::Full) => Err(why),
                left => left.map_err(SinkError::from),
            })
        })
        .await
    }
}

impl<E: Event + Clone> Sink<E> for Queue<E> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.offer(event.clone())? {
            None => Ok(()),
            Some(ticket) => block_on(self.wait_for_room(ticket)),
        }
    }
}

impl<E: Event + Clone> AsyncSink<E> for Queue<E> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.offer(event.clone())? {
            None => Ok(()),
            Some(ticket) => self.wait_for_room(ticket).await,
        }
    }
}

impl<E: Event + Clone> Close for Queue<E> {
    fn close(&self) -> Closing<'_> {
        self.handle.account.close()
    }

    fn abort(&self) {
        self.handle.account.abort();
    }
}

impl<E: Event + Clone> Clone for Queue<E> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<E: Event + Clone> fmt::Debug for Queue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.name())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<E: Event + Clone> Drop for Handle<E> {
    fn drop(&mut self) {
        self.account.begin_close();
    }
}
