use std::{any::type_name, fmt};

/// What an event takes of a [`RateLimit`](crate::RateLimit): one, or its size.
pub trait Cost<E: ?Sized>: Send + Sync {
    /// How much of the rate `event` takes. With none, it does not wait.
    fn of(&self, event: &E) -> u64;
}

/// Each event is one.
#[derive(Debug, Clone, Copy)]
pub struct Events;

impl<E: ?Sized> Cost<E> for Events {
    fn of(&self, _event: &E) -> u64 {
        1
    }
}

/// Each event is as many bytes as a closure says.
#[derive(Clone, Copy)]
pub struct Bytes<F>(pub(crate) F);

impl<E: ?Sized, F: Fn(&E) -> usize + Send + Sync> Cost<E> for Bytes<F> {
    fn of(&self, event: &E) -> u64 {
        (self.0)(event) as u64
    }
}

impl<F> fmt::Debug for Bytes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bytes").field(&type_name::<F>()).finish()
    }
}
