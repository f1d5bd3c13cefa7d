//! Keeps a sink's panic in its place, and knows which deliveries run on this thread.

use std::{
    any::Any,
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::SinkError;

thread_local! {
    /// The deliveries whose sinks are being called on this thread, innermost last.
    static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks a delivery as running on this thread until dropped.
struct Running;

impl Running {
    fn enter(delivery: usize) -> Self {
        RUNNING.with_borrow_mut(|running| running.push(delivery));
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}

/// Whether this very call comes from inside a sink that `delivery` is calling: waiting for the
/// delivery here would wait for the caller.
///
/// A delivery is named by an address that is its own while it lives.
pub fn is_inside(delivery: usize) -> bool {
    RUNNING.with_borrow(|running| running.contains(&delivery))
}

/// Calls a sink on behalf of `delivery`; a panic becomes an error.
///
/// ```
/// use events_core::{ErrorKind, isolate};
///
/// let error = isolate::call(1, || {
///     assert!(isolate::is_inside(1));
///     if true { panic!("lost my marbles") }
/// });
/// assert_eq!(error.unwrap_err().kind(), ErrorKind::Rejected);
/// ```
///
/// # Errors
/// `Rejected`, with the panic's message as its source.
pub fn call<T>(delivery: usize, sink: impl FnOnce() -> T) -> Result<T, SinkError> {
    let _running = Running::enter(delivery);
    catch_unwind(AssertUnwindSafe(sink)).map_err(|panic| panicked(&*panic))
}

fn panicked(panic: &(dyn Any + Send)) -> SinkError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    SinkError::rejected(format!("the sink panicked: {message}"))
}
