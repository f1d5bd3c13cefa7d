//! Models for loom, which tries every order in which their threads may meet: see CONTRIBUTING.md.
#![cfg(loom)]

mod concurrent;
mod ending;
mod support;
mod waiting;
