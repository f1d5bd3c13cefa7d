//! Keeps a sink's panic in its place, and knows which deliveries run on this thread.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

use crate::{closing::Closing, error::SinkError, runtime::sync::thread_local, sink::Close};

thread_local! {
    /// The delivery whose sink is being called on this thread; 0 is none.
    static INNERMOST: Cell<usize> = const { Cell::new(0) };
}

thread_local! {
    /// Those whose sinks are in the middle of that call, outermost first.
    static OUTER: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks a delivery as running on this thread until dropped.
struct Running {
    outer: usize,
}

impl Running {
    #[inline]
    fn enter(delivery: usize) -> Self {
        let outer = INNERMOST.replace(delivery);
        if outer != 0 {
            OUTER.with_borrow_mut(|all| all.push(outer));
        }
        Self { outer }
    }
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        INNERMOST.set(self.outer);
        if self.outer != 0 {
            OUTER.with_borrow_mut(Vec::pop);
        }
    }
}

/// Whether this very call comes from inside a sink that `delivery` is calling: waiting for the
/// delivery here would wait for the caller.
///
/// A delivery is named by an address that is its own while it lives.
#[inline]
pub fn is_inside(delivery: usize) -> bool {
    INNERMOST.get() == delivery || OUTER.with_borrow(|all| all.contains(&delivery))
}

/// Whether this very call comes from inside any sink that somebody delivers to.
pub fn is_inside_any() -> bool {
    INNERMOST.get() != 0
}

/// Calls a sink on behalf of `delivery`; a panic becomes an error.
///
/// ```
/// use events_core::{ErrorKind, engine::isolate};
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
    if cfg!(loom) {
        // In a model a panic is what the model checker has found, which nobody is to hide.
        return Ok(sink());
    }
    catch_unwind(AssertUnwindSafe(sink)).map_err(|panic| panicked(&*panic))
}

/// Closes a sink on behalf of `delivery`; a panic becomes an error.
pub fn close<S: ?Sized + Close>(delivery: usize, sink: &S) -> Closing<'_> {
    match call(delivery, || sink.close()) {
        Ok(closing) if closing.has_ended() => closing,
        Ok(mut closing) => Closing::new(poll_fn(move |cx| {
            call(delivery, || Pin::new(&mut closing).poll(cx))
                .unwrap_or_else(|panicked| Poll::Ready(Err(panicked)))
        })),
        Err(panicked) => Closing::ended(Err(panicked)),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> SinkError {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    SinkError::rejected(format!("the sink panicked: {message}"))
}
