//! What the durable queue promises, on files of its own.

mod bad_days;
mod bounds;
mod conformance;
mod dead_letters;
mod delivery;
mod kill;
mod space;
mod support;
mod tasks;
