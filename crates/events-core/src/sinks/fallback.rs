use std::{any::type_name, fmt};

use crate::{
    closing::Closing,
    error::{ErrorKind, SinkError},
    event::Event,
    sink::{AsyncSink, Close, Sink},
};

/// Gives what the first sink refuses for good to a second one: a dead letter, or a spare.
///
/// By default that is what is [`Rejected`](ErrorKind::Rejected), which no retry would help; every
/// other error goes to the caller, who may know better: a retry outside, or a queue that ends when
/// its sink has closed. Around a retry, which is done with an event when its error arrives here,
/// [`when`](Self::when) says what else the second sink takes.
///
/// Both are closed and aborted together. To share the second one, give it as a closure:
/// `sink_fn(move |event: &T| shared.write(event))` closes nothing but itself.
///
/// ```
/// use events_core::{Fallback, Memory, Sink, SinkError, sink_fn};
///
/// let picky = sink_fn(|event: &i32| match event {
///     0.. => Ok(()),
///     _ => Err(SinkError::rejected("less than zero")),
/// });
/// let sink = Fallback::new(picky, Memory::new());
/// sink.write(&1)?;
/// sink.write(&-1)?;
/// assert_eq!(sink.second().events(), [-1]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct Fallback<S, T, P = fn(&SinkError) -> bool> {
    first: S,
    second: T,
    when: P,
}

impl<S, T> Fallback<S, T> {
    /// What `first` rejects goes to `second`.
    pub const fn new(first: S, second: T) -> Self {
        Self { first, second, when: is_rejected }
    }
}

impl<S, T, P> Fallback<S, T, P> {
    /// What `first` refuses with an error of which `takes` is true goes to `second`.
    ///
    /// ```
    /// use events_core::{ErrorKind, Fallback, Memory, SinkError};
    ///
    /// # let retry = Memory::<str>::new();
    /// let sink = Fallback::new(retry, Memory::<str>::new())
    ///     .when(|error: &SinkError| error.kind() != ErrorKind::Closed);
    /// ```
    pub fn when<Q: Fn(&SinkError) -> bool>(self, takes: Q) -> Fallback<S, T, Q> {
        Fallback { first: self.first, second: self.second, when: takes }
    }

    /// The sink that is asked first.
    pub const fn first(&self) -> &S {
        &self.first
    }

    /// The sink that gets what the first refuses.
    pub const fn second(&self) -> &T {
        &self.second
    }

    /// Both sinks by themselves.
    pub fn into_inner(self) -> (S, T) {
        (self.first, self.second)
    }
}

fn is_rejected(error: &SinkError) -> bool {
    error.kind() == ErrorKind::Rejected
}

/// The second sink's error says what may help, since that is the one to take the event now.
fn both(first: SinkError, second: SinkError) -> SinkError {
    let kind = second.kind();
    SinkError::combine([second, first]).unwrap_or_else(|| kind.into())
}

impl<S: Close, T: Close, P: Send + Sync> Close for Fallback<S, T, P> {
    fn close(&self) -> Closing<'_> {
        Closing::all([self.first.close(), self.second.close()])
    }

    fn abort(&self) {
        self.first.abort();
        self.second.abort();
    }
}

impl<E, S, T, P> Sink<E> for Fallback<S, T, P>
where
    E: ?Sized + Event,
    S: Sink<E>,
    T: Sink<E>,
    P: Fn(&SinkError) -> bool + Send + Sync,
{
    fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.first.write(event) {
            Err(first) if (self.when)(&first) => {
                self.second.write(event).map_err(|second| both(first, second))
            }
            result => result,
        }
    }
}

impl<E, S, T, P> AsyncSink<E> for Fallback<S, T, P>
where
    E: ?Sized + Event,
    S: AsyncSink<E>,
    T: AsyncSink<E>,
    P: Fn(&SinkError) -> bool + Send + Sync,
{
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.first.write(event).await {
            Err(first) if (self.when)(&first) => {
                self.second.write(event).await.map_err(|second| both(first, second))
            }
            result => result,
        }
    }
}

impl<S: fmt::Debug, T: fmt::Debug, P> fmt::Debug for Fallback<S, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("first", &self.first)
            .field("second", &self.second)
            .field("when", &type_name::<P>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::park::block_on,
        sinks::{memory::Memory, sink_fn::sink_fn},
        testing::{Told, check_wrapper},
    };
    use std::{error::Error, future::ready, time::Duration};

    const KINDS: [ErrorKind; 6] = [
        ErrorKind::Closed,
        ErrorKind::Rejected,
        ErrorKind::Unavailable,
        ErrorKind::Full,
        ErrorKind::WouldDeadlock,
        ErrorKind::Undelivered,
    ];

    #[test]
    fn the_second_gets_what_is_rejected_and_nothing_else() {
        let dead = Memory::new();
        let sink = Fallback::new(sink_fn(|kind: &ErrorKind| Err((*kind).into())), &dead);
        let tasks = Fallback::new(sink_fn(|kind: &ErrorKind| ready(Err((*kind).into()))), &dead);
        for kind in KINDS {
            let written = [Sink::write(&sink, &kind), block_on(AsyncSink::write(&tasks, &kind))];
            for result in written {
                let error = result.err().map(|error| error.kind());
                assert_eq!(error, (kind != ErrorKind::Rejected).then_some(kind));
            }
        }
        assert_eq!(dead.events(), [ErrorKind::Rejected; 2]);
    }

    #[test]
    fn the_second_gets_what_it_is_said_to_take() {
        let refuse = sink_fn(|kind: &ErrorKind| Err((*kind).into()));
        let sink = Fallback::new(refuse, Memory::new())
            .when(|error: &SinkError| error.kind() == ErrorKind::Unavailable);
        for kind in KINDS {
            assert_eq!(sink.write(&kind).is_ok(), kind == ErrorKind::Unavailable);
        }
        assert_eq!(sink.second().events(), [ErrorKind::Unavailable]);
    }

    #[test]
    fn when_both_refuse_the_second_says_what_may_help() {
        let first = sink_fn(|_: &str| Err(SinkError::rejected("bad")));
        let second = sink_fn(|_: &str| {
            Err(SinkError::unavailable("down").with_retry_after(Duration::from_secs(7)))
        });
        let error = Fallback::new(first, second).write("event").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        let causes: Vec<_> =
            error.errors().iter().map(|error| error.source().unwrap().to_string()).collect();
        assert_eq!(causes, ["down", "bad"]);
    }

    #[test]
    fn closes_and_aborts_both() {
        let sink = Fallback::new(Told::default(), Told::default());
        check_wrapper(&sink, "event", &[sink.first(), sink.second()]);
    }
}
