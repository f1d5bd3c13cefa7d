//! Events as they are stored: JSON that is known to come back as it went.

use events_core::SinkError;
use serde::{Serialize, de::DeserializeOwned};

use crate::fingerprint::fingerprint;

/// The database's limit for one value, less what else a row holds.
const LARGEST: usize = 1_000_000_000 - 1_024;

/// The event as JSON, and the event that this decodes to: the same.
///
/// It is decoded here to see that, though it costs about as much again as encoding it: serde has
/// too many shapes that JSON cannot tell apart, or that its own enums and flattened fields cannot
/// read, to know them all beforehand, and after the write nobody is left to be told.
///
/// # Errors
/// `Rejected`, without a word of the event: the words of its own `Serialize` might quote it.
pub(crate) fn encode<E: Serialize + DeserializeOwned>(event: &E) -> Result<(String, E), SinkError> {
    // First, since it knows how deep it goes: the encoder follows a value to the stack's end.
    let before = fingerprint(event).map_err(SinkError::rejected)?;
    let text = serde_json::to_string(event)
        .map_err(|_| SinkError::rejected("the event cannot be written as JSON"))?;
    if text.len() > LARGEST {
        return Err(SinkError::rejected("the event is larger than SQLite takes"));
    }
    let back: E = decode(text.as_bytes())
        .map_err(|_| SinkError::rejected("the event could not be read again from its JSON"))?;
    match fingerprint(&back) {
        Ok(after) if after == before => Ok((text, back)),
        _ => Err(SinkError::rejected("the event would come back from its JSON as another one")),
    }
}

/// The event in a text that was stored.
///
/// # Errors
/// The text is no such event. The error may quote it.
pub(crate) fn decode<E: DeserializeOwned>(text: &[u8]) -> Result<E, serde_json::Error> {
    serde_json::from_slice(text)
}

/// Why a text is no event: without a word of its content, which the decoder would quote.
pub(crate) fn describe_decoding(error: &serde_json::Error) -> String {
    format!(
        "the event does not decode: {:?} error at line {}, column {}",
        error.classify(),
        error.line(),
        error.column()
    )
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
