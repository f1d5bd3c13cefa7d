use std::{fmt, sync::Arc};

use events_core::SinkError;
use serde::de::DeserializeOwned;

use crate::{encoding, event_id::EventId, stored::Stored};

/// An event as it is stored, on its way from the disk to the sink.
#[derive(Clone)]
pub(crate) struct Row {
    /// Its place in the order of delivery.
    pub(crate) seq: u64,
    pub(crate) id: EventId,
    /// When it was written, in milliseconds since the epoch.
    pub(crate) written: u64,
    pub(crate) text: Arc<[u8]>,
}

impl Row {
    /// The event, or why it is none: without a word of its content, which the decoder would quote.
    pub(crate) fn decode<E: DeserializeOwned>(&self) -> Result<Stored<E>, String> {
        match encoding::decode(&self.text) {
            Ok(event) => Ok(Stored::new(self.id, self.written, event)),
            Err(error) => Err(format!(
                "the event does not decode: {:?} error at line {}, column {}",
                error.classify(),
                error.line(),
                error.column()
            )),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("seq", &self.seq).field("id", &self.id).finish_non_exhaustive()
    }
}

/// The error and all behind it, in one line.
pub(crate) fn describe(error: &SinkError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
