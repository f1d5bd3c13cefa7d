//! The crate's own sinks keep the contract, by themselves and behind every pointer.

use std::sync::Arc;

use events_core::{BoxAsyncSink, Discard, Memory, Sink, conformance::Suite};

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
    Suite::wrapper(|destination| &*Box::leak(Box::new(destination))).run();
    Suite::wrapper(Box::new).run();
    Suite::wrapper(|destination| Box::new(destination) as Box<dyn Sink<u64>>).run();
    Suite::wrapper(Arc::new).run();
    Suite::wrapper(|destination| Arc::new(destination) as Arc<dyn Sink<u64>>).run();
}

#[test]
fn a_reference_a_box_and_an_arc_in_tasks() {
    Suite::async_wrapper(|destination| &*Box::leak(Box::new(destination))).run();
    Suite::async_wrapper(Box::new).run();
    Suite::async_wrapper(Arc::new).run();
    Suite::async_wrapper(BoxAsyncSink::<u64>::new).run();
}
