use std::{any::type_name, fmt};

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    gate::Gate,
    sink::{AsyncSink, Close, Sink},
};

/// Hands on the events that match, and commits the others by leaving them out.
///
/// ```
/// use events_core::{Filter, Memory, Sink};
///
/// let long = Filter::new(Memory::new(), |event: &String| event.len() > 3);
/// long.write(&"push".to_owned())?;
/// long.write(&"get".to_owned())?;
/// assert_eq!(long.get_ref().events(), ["push"]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct Filter<S, M> {
    inner: S,
    matcher: M,
    gate: Gate,
}

/// Says of an event whether it is wanted. Closures that return a `bool` are matchers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which events of type `{E}` match",
    note = "write a closure as `|event: &T| ...`, with the argument's type"
)]
pub trait Matcher<E: ?Sized>: Send + Sync {
    /// Whether `event` is wanted.
    fn matches(&self, event: &E) -> bool;
}

impl<E: ?Sized, F: Fn(&E) -> bool + Send + Sync> Matcher<E> for F {
    fn matches(&self, event: &E) -> bool {
        self(event)
    }
}

impl<S, M> Filter<S, M> {
    /// Only what `matcher` wants goes to `inner`.
    pub const fn new(inner: S, matcher: M) -> Self {
        Self { inner, matcher, gate: Gate::new() }
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Whether the inner sink is to have `event`. Asked of the filter even after the inner sink has
    /// closed, so only its own gate can tell.
    fn wants<E: ?Sized>(&self, event: &E) -> Result<bool, SinkError>
    where
        M: Matcher<E>,
    {
        self.gate.check()?;
        Ok(self.matcher.matches(event))
    }
}

impl<S: Close, M: Send + Sync> Close for Filter<S, M> {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E: ?Sized + Event, S: Sink<E>, M: Matcher<E>> Sink<E> for Filter<S, M> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        if self.wants(event)? { self.inner.write(event) } else { Ok(()) }
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>, M: Matcher<E>> AsyncSink<E> for Filter<S, M> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        if self.wants(event)? { self.inner.write(event).await } else { Ok(()) }
    }
}

impl<S: fmt::Debug, M> fmt::Debug for Filter<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("inner", &self.inner)
            .field("matcher", &type_name::<M>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        runtime::park::block_on,
        sinks::memory::Memory,
        testing::{Told, check_wrapper},
    };
    use std::thread;

    /// Matchers that carry something are types of their own.
    struct LongerThan(usize);

    impl Matcher<str> for LongerThan {
        fn matches(&self, event: &str) -> bool {
            event.len() > self.0
        }
    }

    #[test]
    fn seed_test_filter() {
        let even = Filter::new(Memory::new(), |event: &u32| event.is_multiple_of(2));
        for event in 0..1000 {
            if event < 500 {
                Sink::write(&even, &event).unwrap();
            } else {
                block_on(AsyncSink::write(&even, &event)).unwrap();
            }
        }
        even.close().wait().unwrap();
        assert_eq!(even.get_ref().events(), (0..1000).step_by(2).collect::<Vec<_>>());
        assert_eq!(Sink::write(&even, &0).unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn seed_30_concurrent_closes_are_one() {
        let filter = Filter::new(Told::default(), LongerThan(3));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let error = filter.close().wait().unwrap_err();
                    assert_eq!(error.undelivered(), Some(1), "what the inner close came to");
                    check_closed(&filter);
                });
            }
        });
        assert_eq!(filter.get_ref().times_closed(), 1);
    }

    #[test]
    fn what_is_left_out_is_refused_after_the_close_too() {
        let filter = Filter::new(Told::default(), LongerThan(3));
        Sink::write(&filter, "get").unwrap();
        check_wrapper(&filter, "push", &[filter.get_ref()]);
        check_closed(&filter);
    }

    fn check_closed(filter: &Filter<Told, LongerThan>) {
        for event in ["get", "push"] {
            let written = [Sink::write(filter, event), block_on(AsyncSink::write(filter, event))];
            for result in written {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
            }
        }
    }
}
