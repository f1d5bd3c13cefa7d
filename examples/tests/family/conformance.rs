//! The contract, checked on the sinks that are built over others. Each crate checks its own leaves.

use std::{sync::Arc, time::Duration};

use events_broadcast::Broadcaster;
use events_core::{
    AsyncSink, Breaker, Close, Closing, ExponentialBackoff, Fallback, Filter, Map, Memory, OrElse,
    Router, Sink, SinkError, Timeout,
    conformance::{Destination, Suite},
    sink_fn,
};
use events_queue::Queue;
use events_retry::{RateLimit, Retry};
use tokio::runtime::Runtime;

/// A sink together with the runtime that its tasks run in.
struct InRuntime<S> {
    sink: S,
    _runtime: Arc<Runtime>,
}

impl<S> InRuntime<S> {
    fn new(runtime: &Arc<Runtime>, make: impl FnOnce() -> S) -> Self {
        let _entered = runtime.enter();
        Self { sink: make(), _runtime: Arc::clone(runtime) }
    }
}

impl<S: Close> Close for InRuntime<S> {
    fn close(&self) -> Closing<'_> {
        self.sink.close()
    }

    fn abort(&self) {
        self.sink.abort();
    }
}

impl<S: AsyncSink<u64>> AsyncSink<u64> for InRuntime<S> {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        self.sink.write(event).await
    }
}

/// Checks a sink that needs tokio, on a runtime with two threads.
fn check_in_tokio<S>(make: impl Fn(Destination) -> S + Send + Sync + 'static)
where
    S: AsyncSink<u64> + 'static,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map(Arc::new)
        .unwrap();
    let driver = Arc::clone(&runtime);
    Suite::async_wrapper(move |destination| InRuntime::new(&runtime, || make(destination)))
        .driven_by(move |future| driver.block_on(future))
        .run();
}

fn breaker() -> Breaker {
    Breaker::new(5, Duration::from_millis(1)).unwrap()
}

#[test]
fn filter() {
    Suite::wrapper(|destination| Filter::new(destination, |_: &u64| true)).run();
    Suite::async_wrapper(|destination| Filter::new(destination, |_: &u64| true)).run();
}

#[test]
fn map() {
    Suite::wrapper(|destination| Map::new(destination, |event: &u64| *event)).run();
    Suite::async_wrapper(|destination| Map::new(destination, |event: &u64| *event)).run();
}

#[test]
fn fallback_and_or_else() {
    Suite::wrapper(|destination| Fallback::new(destination, Memory::<u64>::new())).run();
    Suite::async_wrapper(|destination| Fallback::new(destination, Memory::<u64>::new())).run();
    Suite::wrapper(|destination| OrElse::new(destination, |_: &u64, error| Err(error))).run();
    Suite::async_wrapper(|destination| OrElse::new(destination, |_: &u64, error| Err(error))).run();
}

#[test]
fn router() {
    Suite::wrapper(|destination| Router::new().route(destination, |_: &u64| true)).run();
    Suite::async_wrapper(|destination| Router::new().route(destination, |_: &u64| true)).run();
    let odd = |event: &u64| event % 2 == 1;
    Suite::wrapper(move |to| Router::new().route(to.clone(), odd).otherwise(to)).run();
    Suite::async_wrapper(move |to| Router::new().route(to.clone(), odd).otherwise(to)).run();
}

#[test]
fn timeout() {
    let hour = Duration::from_hours(1);
    Suite::wrapper(move |destination| Timeout::new(destination, hour).unwrap()).run();
    Suite::async_wrapper(move |destination| Timeout::new(destination, hour).unwrap()).run();
    check_in_tokio(move |destination| Timeout::new(destination, hour).unwrap());
}

#[test]
fn a_closure() {
    Suite::sink(|| sink_fn(|_: &u64| Ok(())), |number| number).run();
    Suite::async_sink(|| sink_fn(|_: &u64| std::future::ready(Ok(()))), |number| number).run();
}

#[test]
fn retry() {
    Suite::wrapper(|destination| Retry::new(destination, breaker())).run();
    Suite::async_wrapper(|destination| Retry::new(destination, breaker())).run();
    Suite::wrapper(|destination| Retry::new(destination, ExponentialBackoff::default())).run();
    check_in_tokio(|destination| Retry::new(destination, ExponentialBackoff::default()));
}

#[test]
fn rate_limit() {
    check_in_tokio(|destination| RateLimit::new(destination, 1_000_000).unwrap());
}

#[test]
fn a_broadcaster_with_direct_sinks() {
    Suite::wrapper(direct).run();
    // Direct sinks are called in the poll that writes, so one that blocks is no sink for a task.
    Suite::async_sink(Watched::new, |number| number)
        .observed(|watched| watched.memory.events())
        .run();
}

/// A broadcaster and what one of its sinks has.
struct Watched {
    all: Broadcaster<u64>,
    memory: Arc<Memory<u64>>,
}

impl Watched {
    fn new() -> Self {
        let memory = Arc::new(Memory::new());
        let all = Broadcaster::new();
        all.add(memory.clone()).unwrap();
        Self { all, memory }
    }
}

impl Close for Watched {
    fn close(&self) -> Closing<'_> {
        self.all.close()
    }

    fn abort(&self) {
        self.all.abort();
    }
}

impl AsyncSink<u64> for Watched {
    async fn write(&self, event: &u64) -> Result<(), SinkError> {
        AsyncSink::write(&self.all, event).await
    }
}

fn direct(destination: Destination) -> Broadcaster<u64> {
    let all = Broadcaster::new();
    all.add(Arc::new(destination)).unwrap();
    all
}

#[test]
fn a_broadcaster_with_a_thread() {
    Suite::wrapper(|destination| {
        let all = Broadcaster::new();
        all.spawn(destination);
        all
    })
    .run();
}

#[test]
fn a_broadcaster_with_tasks() {
    check_in_tokio(|destination| {
        let all = Broadcaster::new();
        all.spawn_tokio(destination);
        all
    });
}

#[test]
fn a_pipeline_on_threads() {
    Suite::wrapper(|destination| {
        let queue = Queue::spawn(Retry::new(destination, breaker()));
        let all = Broadcaster::new();
        all.add(Arc::new(queue)).unwrap();
        Filter::new(all, |_: &u64| true)
    })
    .run();
}

#[test]
fn a_pipeline_in_tasks() {
    check_in_tokio(|destination| {
        let queue = Queue::spawn_tokio(Retry::new(destination, breaker()));
        let all = Broadcaster::new();
        all.add(Arc::new(queue)).unwrap();
        Filter::new(all, |_: &u64| true)
    });
}

/// Both traits hold behind a pointer to an unknown sink.
#[test]
fn a_sink_of_any_type() {
    Suite::wrapper(|destination| Box::new(direct(destination)) as Box<dyn Sink<u64>>).run();
}
