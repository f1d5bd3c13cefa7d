use crate::{
    closing::Closing,
    error::SinkError,
    event::Event,
    gate::Gate,
    sink::{AsyncSink, Close, Sink},
};

/// Takes every event and keeps none.
///
/// ```
/// use events_core::{Discard, Sink};
///
/// Discard::new().write(&"gone")?;
/// # Ok::<(), events_core::SinkError>(())
/// ```
#[derive(Debug, Default)]
pub struct Discard(Gate);

impl Discard {
    /// An open one.
    pub const fn new() -> Self {
        Self(Gate::new())
    }
}

impl Close for Discard {
    fn close(&self) -> Closing<'_> {
        self.0.close();
        Closing::done()
    }
}

impl<E: ?Sized + Event> Sink<E> for Discard {
    fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.0.check()
    }
}

impl<E: ?Sized + Event> AsyncSink<E> for Discard {
    async fn write(&self, _event: &E) -> Result<(), SinkError> {
        self.0.check()
    }
}
