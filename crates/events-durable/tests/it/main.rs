//! What the durable queue promises, on files of its own.

mod bad_days;
mod bounds;
mod conformance;
mod consumers;
mod dead_letters;
mod delivery;
mod files;
mod kill;
mod kill_log;
mod migration;
mod model;
#[cfg(feature = "outbox")]
mod outbox;
mod redelivery;
mod retry;
mod round_trip;
mod shapes;
mod space;
mod support;
#[cfg(feature = "tokio")]
mod tasks;
