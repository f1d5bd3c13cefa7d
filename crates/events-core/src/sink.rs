use crate::{closing::Closing, error::SinkError, event::Event};

/// How a sink ends. The part of the contract that knows neither the event nor the world.
///
/// A sink that holds another hands both methods inwards.
pub trait Close: Send + Sync {
    /// Stops new writes at once, flushes what was accepted and closes what is inside.
    ///
    /// The close begins when this is called; the [`Closing`] only waits for its end, on a thread
    /// with [`wait`](Closing::wait) or in a task with `.await`. Every caller, concurrent or later,
    /// gets the same end and the same result. Afterwards each write is
    /// [`Closed`](crate::ErrorKind::Closed).
    ///
    /// **`Ok` promises that every event that was accepted has been delivered, has been taken by the dead
    /// letter that you set, or was dropped by a policy that you chose.** Otherwise it is
    /// [`Undelivered`](crate::ErrorKind::Undelivered), with the number of those that were not: an event
    /// that failed where no dead letter took it, or one that an abort or a deadline gave up, wherever
    /// that is now.
    fn close(&self) -> Closing<'_> {
        Closing::done()
    }

    /// Gives up what waits inside, for good: retries end, queues hand their backlog to the dead
    /// letter and take no more events.
    ///
    /// Never waits itself; [`close`](Self::close) afterwards ends soon.
    fn abort(&self) {}
}

/// Takes events, on a thread. The whole family is made of these.
///
/// # The contract
/// - `Ok` means that the sink has **committed** the event and the caller may forget it. `Err`
///   means that it has not, and [`SinkError::kind`] says what may help.
/// - Writes take `&self`, so that a sink can be shared; one that must not run twice at a time
///   serialises inside.
/// - The event is lent. Only a sink that keeps it clones it.
/// - After [`close`](Close::close), `write` is [`Closed`](crate::ErrorKind::Closed), always.
/// - Waiting for a sink from inside its own `write` is refused with
///   [`WouldDeadlock`](crate::ErrorKind::WouldDeadlock), also if it goes round by way of others: two
///   full queues whose sinks write to each other, or a sink that writes back to the broadcaster it is
///   behind. A wait with a deadline is let be, since it ends by itself.
///
/// The `conformance` feature holds this contract as tests to run on a sink of your own.
///
/// ```
/// use events_core::{Close, Sink, SinkError};
///
/// struct Stdout;
///
/// impl Close for Stdout {}
///
/// impl Sink<str> for Stdout {
///     fn write(&self, event: &str) -> Result<(), SinkError> {
///         println!("{event}");
///         Ok(())
///     }
/// }
///
/// Stdout.write("started")?;
/// # Ok::<(), SinkError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sink for events of type `{E}`",
    note = "a sink for tasks is an `AsyncSink`: give it to `pair` or `spawn_tokio` instead of `spawn`",
    note = "wrap a closure as `sink_fn(|event: &T| ...)`, with the argument's type"
)]
pub trait Sink<E: ?Sized + Event>: Close {
    /// Commits one event, or says why not.
    fn write(&self, event: &E) -> Result<(), SinkError>;
}

/// Takes events, in a task: the contract of [`Sink`], awaited.
///
/// ```
/// use events_core::{AsyncSink, Close, SinkError};
///
/// struct Counted(tokio::sync::Semaphore);
///
/// impl Close for Counted {}
///
/// impl AsyncSink<String> for Counted {
///     async fn write(&self, _event: &String) -> Result<(), SinkError> {
///         let _slot = self.0.acquire().await.map_err(SinkError::unavailable)?;
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an asynchronous sink for events of type `{E}`",
    note = "a sink for threads is a `Sink`: give it to `spawn` instead of `pair` or `spawn_tokio`",
    note = "`Filter`, `Retry` and other wrappers are asynchronous if the sink inside is",
    note = "wrap a closure as `sink_fn(|event: &T| ...)`; its future owns what it needs of the event"
)]
pub trait AsyncSink<E: ?Sized + Event>: Close {
    /// Commits one event, or says why not. Dropping the future before it is ready gives up waiting:
    /// the sink may have committed the event, or may not.
    fn write(&self, event: &E) -> impl Future<Output = Result<(), SinkError>> + Send;
}
