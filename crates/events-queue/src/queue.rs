use std::{fmt, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use events_core::{
    AsyncSink, Close, Closing, ErrorKind, Event, Outlet, Overflow, Sink, SinkError, Stats,
    clock::{self, Sleep},
    feed::{Place, Refused},
    park::block_on,
};

use crate::{Builder, Single};

/// Takes events at once and delivers them, in order, to the sink behind it.
///
/// A handle: clones share the queue, and it implements both [`Sink`] and [`AsyncSink`]. The sink
/// is written to by a worker, a thread or a future. Dropping the last handle closes the queue
/// without waiting: what was accepted is still delivered, as long as the process lives.
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
    outlet: Arc<Outlet<E>>,
    overflow: Overflow,
}

impl<E: Event + Clone> Queue<E> {
    /// A queue whose worker is a thread.
    ///
    /// # Panics
    /// If the operating system cannot start a thread, as [`std::thread::spawn`] does;
    /// [`Builder::spawn`] returns an error instead.
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
    /// # events_core::park::block_on(async {
    /// let memory = Arc::new(Memory::new());
    /// let (queue, worker) = Queue::pair(Arc::clone(&memory));
    /// let worker = std::thread::spawn(|| events_core::park::block_on(worker)); // or any executor
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
    /// Outside a runtime, as [`tokio::spawn`] does; [`Builder::spawn_tokio`] returns an error
    /// instead.
    #[cfg(feature = "tokio")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn spawn_tokio(sink: impl AsyncSink<E> + 'static) -> Self {
        Self::builder().spawn_tokio(sink).expect("a tokio runtime for the queue's worker")
    }

    /// Capacity, overflow policy, batches, dead letter and name.
    pub fn builder() -> Builder<E, Single> {
        Builder::new()
    }

    pub(crate) fn new(outlet: Arc<Outlet<E>>, overflow: Overflow) -> Self {
        Self { handle: Arc::new(Handle { outlet, overflow }) }
    }

    /// A barrier: ends once every event accepted before is delivered, failed or dropped. The
    /// queue stays open, and what the sink itself buffers is not waited for.
    pub fn flush(&self) -> Closing<'_> {
        self.handle.outlet.flush()
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
        self.handle.outlet.close_within(limit)
    }

    /// What became of the events so far.
    pub fn stats(&self) -> Stats {
        self.handle.outlet.stats()
    }

    /// The queue's name in traces, and that of its thread.
    pub fn name(&self) -> &str {
        self.handle.outlet.name()
    }

    /// Puts `event` into the queue, or at the end of the line for room.
    fn offer(&self, event: E) -> Result<Option<Place<E>>, SinkError> {
        let Handle { outlet, overflow } = &*self.handle;
        let event = match outlet.feed().push(event) {
            Ok(()) => return Ok(None),
            Err(Refused::Closed(_)) => return Err(SinkError::closed()),
            Err(Refused::Full(event)) => event,
        };
        match overflow {
            Overflow::Block | Overflow::BlockFor(_) => {
                outlet.feed().stand_in_line(event).map(Some).map_err(|_| SinkError::closed())
            }
            Overflow::DropNewest => {
                outlet.drop_unwritten();
                Ok(None)
            }
            _ => Err(SinkError::full()),
        }
    }

    /// Waits in line, as long as the policy says.
    async fn wait_for_room(&self, place: Place<E>) -> Result<(), SinkError> {
        let Handle { outlet, overflow } = &*self.handle;
        let mut timeout: Option<Sleep> = match overflow {
            Overflow::BlockFor(timeout) => Some(clock::sleep(*timeout)),
            _ => None,
        };
        let mut place = Some(place);
        poll_fn(|cx| {
            let Some(waiting) = &mut place else { return Poll::Ready(Ok(())) };
            if let Poll::Ready(result) = waiting.poll_admitted(cx) {
                return Poll::Ready(result.map_err(SinkError::from));
            }
            let why = if let Err(deadlock) = outlet.check_wait() {
                deadlock
            } else if timeout.as_mut().is_none_or(|timeout| pin!(timeout).poll(cx).is_pending()) {
                return Poll::Pending;
            } else {
                SinkError::full()
            };
            // The event may have been let in just now, and then all is well.
            Poll::Ready(match place.take().map_or(Ok(()), Place::leave) {
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
            Some(place) => block_on(self.wait_for_room(place)),
        }
    }
}

impl<E: Event + Clone> AsyncSink<E> for Queue<E> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.offer(event.clone())? {
            None => Ok(()),
            Some(place) => self.wait_for_room(place).await,
        }
    }
}

impl<E: Event + Clone> Close for Queue<E> {
    fn close(&self) -> Closing<'_> {
        self.handle.outlet.close()
    }

    fn abort(&self) {
        self.handle.outlet.abort();
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
        self.outlet.begin_close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use events_core::{Bisect, DeadLetter, ErrorKind, Memory, sink_fn};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Holds every write until it is aborted, and then says that it is closed.
    struct ClosedByAbort {
        held: Sender<()>,
        aborted: (Sender<()>, parking_lot::Mutex<Receiver<()>>),
    }

    impl Close for ClosedByAbort {
        fn abort(&self) {
            self.aborted.0.send(()).unwrap();
        }
    }

    impl Sink<u32> for ClosedByAbort {
        fn write(&self, _event: &u32) -> Result<(), SinkError> {
            self.held.send(()).unwrap();
            self.aborted.1.lock().recv().unwrap();
            Err(SinkError::closed())
        }
    }

    #[test]
    fn a_destination_that_is_gone_is_not_asked_again() {
        let (asked, was_asked) = channel();
        let (let_go, go) = channel();
        let go = parking_lot::Mutex::new(go);
        let gone = events_core::sink_fn(move |event: &u32| {
            asked.send(*event).unwrap();
            go.lock().recv().unwrap();
            Err(SinkError::closed())
        });
        let queue = Queue::spawn(gone);
        for event in 0..10 {
            Sink::write(&queue, &event).unwrap();
        }
        for _ in 0..10 {
            let_go.send(()).unwrap();
        }
        queue.close().wait().unwrap_err();
        assert!(was_asked.try_iter().eq([0]));
        assert_eq!(queue.stats().failed, 10);
    }

    #[test]
    fn a_sink_that_an_abort_closed_is_not_mistaken_for_a_destination_that_is_gone() {
        let (held, is_held) = channel();
        let (abort, aborted) = channel();
        let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
        let sink = ClosedByAbort { held, aborted: (abort, aborted.into()) };
        let queue = Queue::builder().dead_letter(Arc::clone(&letters)).spawn(sink).unwrap();
        for event in 0..10 {
            Sink::write(&queue, &event).unwrap();
        }
        is_held.recv().unwrap();
        let error = queue.close_within(Duration::ZERO).wait().unwrap_err();
        assert_eq!(error.undelivered(), Some(10));
        assert_eq!(queue.stats().dropped.abandoned, 10);
        let letters = letters.take();
        assert!(letters.iter().map(|letter| letter.event).eq(0..10));
        assert!(letters[1..].iter().all(|letter| letter.error.kind() == ErrorKind::Undelivered));
    }

    #[test]
    fn of_a_batch_only_the_events_at_fault_fail() {
        let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
        let odd = sink_fn(|batch: &[u32]| {
            let odd = batch.iter().any(|event| event % 2 == 1);
            if odd { Err(SinkError::rejected("odd")) } else { Ok(()) }
        });
        let queue = Queue::builder()
            .dead_letter(Arc::clone(&letters))
            .batch(8, Duration::from_hours(1))
            .spawn(Bisect::new(odd))
            .unwrap();
        for event in [0, 1, 2, 4, 6, 8, 3, 10, 12, 14] {
            Sink::write(&queue, &event).unwrap();
        }
        queue.close().wait().unwrap();
        let stats = queue.stats();
        assert_eq!((stats.accepted, stats.delivered, stats.failed), (10, 8, 2));
        let letters = letters.events();
        assert_eq!(letters.iter().map(|letter| letter.event).collect::<Vec<_>>(), [1, 3]);
        assert!(letters.iter().all(|letter| letter.error.kind() == ErrorKind::Rejected));
    }

    #[test]
    fn a_destination_that_goes_amid_a_batch_ends_the_queue_and_keeps_the_account() {
        let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
        let gone = sink_fn(|batch: &[u32]| match batch {
            [0 | 1, ..] if batch.len() < 4 => Ok(()),
            [2, ..] => Err(SinkError::closed()),
            _ => Err(SinkError::rejected("too large")),
        });
        let queue = Queue::builder()
            .dead_letter(Arc::clone(&letters))
            .batch(4, Duration::from_hours(1))
            .spawn(Bisect::new(gone))
            .unwrap();
        for event in 0..4 {
            Sink::write(&queue, &event).unwrap();
        }
        assert_eq!(queue.close().wait().unwrap_err().kind(), ErrorKind::Closed);
        let stats = queue.stats();
        assert_eq!((stats.accepted, stats.delivered, stats.failed), (4, 2, 2));
        assert_eq!(letters.events().iter().map(|letter| letter.event).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_list_of_failures_that_cannot_be_true_fails_the_batch() {
        let letters = Arc::new(Memory::<DeadLetter<u32>>::new());
        let liar = sink_fn(|_: &[u32]| {
            Err(SinkError::of_batch(vec![(7, SinkError::rejected("?"))]).unwrap())
        });
        let queue = Queue::builder()
            .dead_letter(Arc::clone(&letters))
            .batch(3, Duration::from_hours(1))
            .spawn(liar)
            .unwrap();
        for event in 0..3 {
            Sink::write(&queue, &event).unwrap();
        }
        queue.close().wait().unwrap();
        assert_eq!((queue.stats().delivered, queue.stats().failed), (0, 3));
        // The sink's own error, not that of a panic over its list.
        assert!(letters.events().iter().all(|letter| letter.error.failures().len() == 1));
    }
}
