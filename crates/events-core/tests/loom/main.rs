//! Models for loom, which tries every order in which their threads may meet: see CONTRIBUTING.md.
#![cfg(loom)]

mod breaker;
mod feed;
mod groups;
mod scheduler;
mod wait_queue;

/// Tries all orders with at most so many preemptions: switches from a thread that could go on.
fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}
