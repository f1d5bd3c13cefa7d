//! The crate's own sinks keep the contract, by themselves and behind every pointer.

use std::{sync::Arc, time::Duration};

use events_core::{BoxAsyncSink, Discard, Memory, Router, Sink, Timeout, conformance::Suite};

#[test]
fn memory() {
    Suite::sink(Memory::new, |number| number).observed(Memory::events).run();
    Suite::async_sink(Memory::new, |number| number).observed(Memory::events).run();
}

#[test]
fn memory_of_batches() {
    let first = |memory: &Memory<[u64]>| memory.events().iter().map(|batch| batch[0]).collect();
    let pair = |number| vec![number, number];
    Suite::sink::<[u64], _>(Memory::new, pair).observed(first).run();
    Suite::async_sink::<[u64], _>(Memory::new, pair).observed(first).run();
}

#[test]
fn discard() {
    Suite::sink::<str, _>(Discard::new, |number| number.to_string()).run();
    Suite::async_sink::<str, _>(Discard::new, |number| number.to_string()).run();
}

#[test]
fn a_reference_a_box_and_an_arc() {
    Suite::wrapper(|destination| &*Box::leak(Box::new(destination))).borrowed().run();
    Suite::wrapper(Box::new).run();
    Suite::wrapper(|destination| Box::new(destination) as Box<dyn Sink<u64>>).run();
    Suite::wrapper(Arc::new).run();
    Suite::wrapper(|destination| Arc::new(destination) as Arc<dyn Sink<u64>>).run();
}

#[test]
fn a_reference_a_box_and_an_arc_in_tasks() {
    Suite::async_wrapper(|destination| &*Box::leak(Box::new(destination))).borrowed().run();
    Suite::async_wrapper(Box::new).run();
    Suite::async_wrapper(Arc::new).run();
    Suite::async_wrapper(BoxAsyncSink::<u64>::new).run();
}

#[test]
fn a_router_with_sinks_of_any_type() {
    Suite::wrapper(|destination| {
        Router::<u64, Box<dyn Sink<u64>>>::new()
            .route(Box::new(destination), |_: &u64| true)
            .otherwise(Box::new(Discard::new()))
    })
    .run();
    Suite::async_wrapper(|destination| {
        Router::new()
            .route(BoxAsyncSink::new(destination), |_: &u64| true)
            .otherwise(BoxAsyncSink::new(Discard::new()))
    })
    .run();
}

#[test]
fn a_router_that_discards_what_it_does_not_know() {
    let make = || Router::<u64, Memory<u64>>::new().otherwise_discard();
    Suite::sink(make, |number| number).run();
    Suite::async_sink(make, |number| number).run();
}

#[test]
fn a_timeout() {
    let limit = Duration::from_hours(1);
    Suite::wrapper(move |destination| Timeout::new(destination, limit).unwrap()).run();
    Suite::async_wrapper(move |destination| Timeout::new(destination, limit).unwrap()).run();
}
