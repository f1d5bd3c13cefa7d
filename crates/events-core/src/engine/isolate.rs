//! Keeps a sink's panic in its place, and knows which deliveries run on this thread.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{
    closing::Closing,
    error::SinkError,
    runtime::{
        calls::{self, Running},
        catch::catch,
        dispose::contain,
    },
    sink::Close,
};

/// Whether this very call comes from inside a sink that `delivery` is calling: waiting for the
/// delivery here would wait for the caller.
///
/// A delivery is named by an address that is its own while it lives.
#[inline]
pub fn is_inside(delivery: usize) -> bool {
    calls::is_inside(delivery)
}

/// Whether this very call comes from inside any sink that somebody delivers to.
pub fn is_inside_any() -> bool {
    calls::is_inside_any()
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
    catch(sink).map_err(|message| SinkError::rejected(format!("the sink panicked: {message}")))
}

/// Calls what is no sink on behalf of `delivery`, which it must not wait for: a copy, or a drop.
/// A panic is the caller's.
pub fn inside<T>(delivery: usize, call: impl FnOnce() -> T) -> T {
    let _running = Running::enter(delivery);
    call()
}

/// Lets go of something of a sink's on behalf of `delivery`: a write that was not finished, or the
/// sink itself. A panic is told, and ends here.
pub fn release(delivery: usize, drop: impl FnOnce()) {
    let _running = Running::enter(delivery);
    contain(drop);
}

/// Closes a sink on behalf of `delivery`; a panic becomes an error.
pub fn close<S: ?Sized + Close>(delivery: usize, sink: &S) -> Closing<'_> {
    match call(delivery, || sink.close()) {
        Ok(closing) if closing.has_ended() => closing,
        Ok(closing) => {
            let mut held = Held { delivery, closing: Some(closing) };
            Closing::new(poll_fn(move |cx| held.poll(cx)))
        }
        Err(panicked) => Closing::ended(Err(panicked)),
    }
}

/// The close of a sink, which may be given up.
struct Held<'a> {
    delivery: usize,
    /// There until it is dropped.
    closing: Option<Closing<'a>>,
}

impl Held<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let Some(closing) = &mut self.closing else { return Poll::Pending };
        call(self.delivery, || Pin::new(closing).poll(cx))
            .unwrap_or_else(|panicked| Poll::Ready(Err(panicked)))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        release(self.delivery, || self.closing = None);
    }
}
