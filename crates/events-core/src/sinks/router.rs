use std::{any::type_name, fmt};

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    gate::Gate,
    sink::{AsyncSink, Close, Sink},
    sinks::filter::Matcher,
};

/// Hands each event to the first sink whose matcher wants it, and to no other.
///
/// What no route wants goes to the sink that [`otherwise`](Self::otherwise) names. Without one it is
/// [`Rejected`](crate::ErrorKind::Rejected), so that a forgotten route shows;
/// [`otherwise_discard`](Self::otherwise_discard) commits it by leaving it out.
///
/// All sinks are of one type: that of every endpoint, or `Box<dyn Sink<E>>` where they differ, which
/// for tasks is [`BoxAsyncSink`](crate::BoxAsyncSink).
///
/// The router waits for the sink that has the event. Put it to the left of queues, one for each
/// route, so that a slow destination holds up nobody else. A batch, an event of type `[E]`, goes to
/// one sink as a whole; with a queue for each route the batches are of events that belong together.
///
/// ```
/// use events_core::{Memory, Router, Sink};
///
/// let router = Router::new()
///     .route(Memory::new(), |event: &String| event.starts_with("order."))
///     .route(Memory::new(), |event: &String| event.ends_with(".failed"))
///     .otherwise(Memory::new());
/// for event in ["order.failed", "login.failed", "login"] {
///     router.write(&event.to_owned())?;
/// }
/// let [orders, failures, others] = &*router.into_inner() else { unreachable!() };
/// assert_eq!(orders.events(), ["order.failed"]);
/// assert_eq!(failures.events(), ["login.failed"]);
/// assert_eq!(others.events(), ["login"]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
///
/// Sinks of different types:
///
/// ```
/// use events_core::{Discard, Memory, Router, Sink};
///
/// let router = Router::<str, Box<dyn Sink<str>>>::new()
///     .route(Box::new(Memory::<str>::new()), |event: &str| event != "ping")
///     .otherwise(Box::new(Discard::new()));
/// router.write("ping")?;
/// # Ok::<(), events_core::SinkError>(())
/// ```
///
/// # Closing
/// All sinks are closed and aborted together, and the close tells of every error. A sink that stands
/// in two routes would be told twice: give it one route, with `||` in its matcher.
pub struct Router<E: ?Sized, S> {
    routes: Vec<Route<E, S>>,
    otherwise: Otherwise<S>,
    gate: Gate,
}

struct Route<E: ?Sized, S> {
    sink: S,
    matcher: Box<dyn Matcher<E>>,
    /// What the matcher was called before it was boxed.
    matcher_type: &'static str,
}

/// What becomes of an event that no route wants.
enum Otherwise<S> {
    Reject,
    Discard,
    Write(S),
}

impl<E: ?Sized, S> Router<E, S> {
    /// A router without a route, which rejects everything.
    pub const fn new() -> Self {
        Self { routes: Vec::new(), otherwise: Otherwise::Reject, gate: Gate::new() }
    }

    /// What `matcher` wants, and no route before this one, goes to `sink`.
    pub fn route(mut self, sink: S, matcher: impl Matcher<E> + 'static) -> Self {
        let matcher_type = type_name_of(&matcher);
        self.routes.push(Route { sink, matcher: Box::new(matcher), matcher_type });
        self
    }

    /// What no route wants goes to `sink`.
    pub fn otherwise(mut self, sink: S) -> Self {
        self.otherwise = Otherwise::Write(sink);
        self
    }

    /// What no route wants is committed without a trace.
    ///
    /// ```
    /// use events_core::{Memory, Router, Sink};
    ///
    /// let even = |event: &u32| event % 2 == 0;
    /// assert!(Router::new().route(Memory::new(), even).write(&1).is_err());
    /// Router::new().route(Memory::new(), even).otherwise_discard().write(&1)?;
    /// # Ok::<(), events_core::SinkError>(())
    /// ```
    pub fn otherwise_discard(mut self) -> Self {
        self.otherwise = Otherwise::Discard;
        self
    }

    /// The sinks of all routes, first to last, and then that of [`otherwise`](Self::otherwise).
    pub fn sinks(&self) -> impl Iterator<Item = &S> {
        let otherwise = match &self.otherwise {
            Otherwise::Write(sink) => Some(sink),
            Otherwise::Reject | Otherwise::Discard => None,
        };
        self.routes.iter().map(|route| &route.sink).chain(otherwise)
    }

    /// The sinks by themselves, in the order of [`sinks`](Self::sinks).
    pub fn into_inner(self) -> Vec<S> {
        let otherwise = match self.otherwise {
            Otherwise::Write(sink) => Some(sink),
            Otherwise::Reject | Otherwise::Discard => None,
        };
        self.routes.into_iter().map(|route| route.sink).chain(otherwise).collect()
    }

    /// The sink that is to have `event`, or without one what becomes of it.
    fn pick(&self, event: &E) -> Result<&S, Result<(), SinkError>> {
        // Asked here, since what no sink is asked about no sink can refuse after the close.
        self.gate.check().map_err(Err)?;
        if let Some(route) = self.routes.iter().find(|route| route.matcher.matches(event)) {
            return Ok(&route.sink);
        }
        match &self.otherwise {
            Otherwise::Write(sink) => Ok(sink),
            Otherwise::Discard => Err(Ok(())),
            Otherwise::Reject => Err(Err(SinkError::rejected("no route takes this event"))),
        }
    }
}

fn type_name_of<T>(_: &T) -> &'static str {
    type_name::<T>()
}

impl<E: ?Sized, S> Default for Router<E, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: ?Sized, S: Close> Close for Router<E, S> {
    fn close(&self) -> Closing<'_> {
        self.gate.close();
        Closing::all(self.sinks().map(Close::close))
    }

    fn abort(&self) {
        self.sinks().for_each(Close::abort);
    }
}

impl<E: ?Sized + Event, S: Sink<E>> Sink<E> for Router<E, S> {
    fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.pick(event) {
            Ok(sink) => sink.write(event),
            Err(result) => result,
        }
    }
}

impl<E: ?Sized + Event, S: AsyncSink<E>> AsyncSink<E> for Router<E, S> {
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        match self.pick(event) {
            Ok(sink) => sink.write(event).await,
            Err(result) => result,
        }
    }
}

impl<E: ?Sized, S: fmt::Debug> fmt::Debug for Router<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("routes", &self.routes)
            .field("otherwise", &self.otherwise)
            .finish_non_exhaustive()
    }
}

impl<E: ?Sized, S: fmt::Debug> fmt::Debug for Route<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("sink", &self.sink)
            .field("matcher", &self.matcher_type)
            .finish()
    }
}

impl<S: fmt::Debug> fmt::Debug for Otherwise<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reject => f.write_str("Reject"),
            Self::Discard => f.write_str("Discard"),
            Self::Write(sink) => sink.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::ErrorKind,
        runtime::park::block_on,
        sinks::{box_async::BoxAsyncSink, memory::Memory},
        testing::{Told, check_wrapper},
    };
    use std::sync::Arc;

    fn by_size<S>(small: S, middle: S) -> Router<u32, S> {
        Router::new()
            .route(small, |event: &u32| *event < 10)
            .route(middle, |event: &u32| *event < 100)
    }

    #[test]
    fn the_first_route_that_matches_has_the_event_alone() {
        let router = by_size(Memory::new(), Memory::new()).otherwise(Memory::new());
        for event in [5, 50, 500] {
            Sink::write(&router, &event).unwrap();
            block_on(AsyncSink::write(&router, &(event + 1))).unwrap();
        }
        let got: Vec<_> = router.into_inner().iter().map(Memory::events).collect();
        assert_eq!(got, [[5, 6], [50, 51], [500, 501]]);
    }

    #[test]
    fn what_no_route_wants_is_rejected_or_discarded() {
        let written = |router: &Router<u32, Memory<u32>>| {
            [Sink::write(router, &500), block_on(AsyncSink::write(router, &500))]
        };
        let router = by_size(Memory::new(), Memory::new());
        for result in written(&router) {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Rejected);
        }
        let router = router.otherwise_discard();
        assert!(written(&router).iter().all(Result::is_ok));
        assert!(router.sinks().all(Memory::is_empty));
        router.close().wait().unwrap();
        for result in written(&router) {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed, "after the close too");
        }
    }

    #[test]
    fn sinks_of_different_types() {
        let small = Arc::new(Memory::new());
        let threads: Router<u32, Box<dyn Sink<u32>>> =
            by_size(Box::new(small.clone()), Box::new(Told::default()));
        Sink::write(&threads, &1).unwrap();
        let tasks = by_size(BoxAsyncSink::new(small.clone()), BoxAsyncSink::new(Told::default()));
        block_on(AsyncSink::write(&tasks, &2)).unwrap();
        assert_eq!(small.events(), [1, 2]);
    }

    #[test]
    fn a_batch_goes_to_one_sink_as_a_whole() {
        let router = Router::<[u32], Memory<[u32]>>::new()
            .route(Memory::new(), |batch: &[u32]| batch.iter().all(|event| *event < 10))
            .otherwise(Memory::new());
        Sink::write(&router, &[1, 2][..]).unwrap();
        Sink::write(&router, &[1, 20][..]).unwrap();
        let got: Vec<_> = router.sinks().map(Memory::events).collect();
        assert_eq!(got, [[[1, 2]], [[1, 20]]]);
    }

    #[test]
    fn closes_and_aborts_all() {
        let router = by_size(Told::default(), Told::default()).otherwise(Told::default());
        let sinks: Vec<_> = router.sinks().collect();
        assert_eq!(sinks.len(), 3);
        check_wrapper(&router, &5, &sinks);
    }

    #[test]
    fn debug_shows_the_matchers() {
        let shown = format!("{:?}", by_size((), ()).otherwise_discard());
        assert!(
            shown.contains("by_size") && shown.contains("{{closure}}") && shown.contains("Discard"),
            "{shown}"
        );
    }
}
