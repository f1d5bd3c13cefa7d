//! Random pipelines, held against a simple model of what must become of each event.
//!
//! A [plan](plan::Plan) is a pure function of its seed. Each [run](run) builds its pipeline with a
//! [journal](journal) at every place, has random writers, faults and ends go through it, and then
//! [checks](check) every part by itself: what its entry was told against what its exits saw, event
//! by event. So a new part is a new variant of [`plan::Stage`] and [`component::Component`], a record
//! in [`found`] and a check.
//!
//! `EVENTS_MODEL_SECONDS` says how long it runs, `EVENTS_MODEL_SEED` which one plan again and again:
//! what a plan leaves to the scheduler may take many runs to show.

mod broadcast;
mod check;
mod component;
mod destination;
mod event;
mod fault;
mod found;
mod journal;
mod pause;
mod pipeline;
mod plan;
mod puller;
mod run;
mod search;
mod world;
mod writers;

#[test]
fn every_event_is_accounted_for_once() {
    search::search();
}
