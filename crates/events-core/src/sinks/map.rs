use std::{any::type_name, fmt};

use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    sink::{AsyncSink, Close, Sink},
};

/// Hands on another event in the place of each.
///
/// ```
/// use events_core::{Map, Memory, Sink};
///
/// let lengths = Map::new(Memory::new(), |event: &str| event.len());
/// lengths.write("push")?;
/// assert_eq!(lengths.get_ref().events(), [4]);
/// # Ok::<(), events_core::SinkError>(())
/// ```
pub struct Map<S, F> {
    inner: S,
    map: F,
}

impl<S, F> Map<S, F> {
    /// What `map` makes of an event goes to `inner`.
    pub const fn new(inner: S, map: F) -> Self {
        Self { inner, map }
    }

    /// The sink inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The sink inside, by itself.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Close, F: Send + Sync> Close for Map<S, F> {
    fn close(&self) -> Closing<'_> {
        self.inner.close()
    }

    fn abort(&self) {
        self.inner.abort();
    }
}

impl<E, U, S, F> Sink<E> for Map<S, F>
where
    E: ?Sized + Event,
    U: Event,
    S: Sink<U>,
    F: Fn(&E) -> U + Send + Sync,
{
    fn write(&self, event: &E) -> Result<(), SinkError> {
        self.inner.write(&(self.map)(event))
    }
}

impl<E, U, S, F> AsyncSink<E> for Map<S, F>
where
    E: ?Sized + Event,
    U: Event,
    S: AsyncSink<U>,
    F: Fn(&E) -> U + Send + Sync,
{
    async fn write(&self, event: &E) -> Result<(), SinkError> {
        self.inner.write(&(self.map)(event)).await
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Map<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("inner", &self.inner).field("map", &type_name::<F>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Told, check_wrapper};

    #[test]
    fn closes_and_aborts_inwards() {
        let map = Map::new(Told::default(), |event: &[u8]| event.len());
        check_wrapper(&map, &b"event"[..], &[map.get_ref()]);
    }

    #[test]
    fn debug_shows_the_closure() {
        let map = Map::new((), |event: &str| event.len());
        assert!(format!("{map:?}").contains("debug_shows_the_closure"), "{map:?}");
    }
}
