use std::{error::Error, io::Write};

use events_core::Event;
use flate2::{Compression, write::GzEncoder};

use crate::{encode::Encode, message::Message};

/// A format that compresses what another makes, for receivers that take `Content-Encoding: gzip`.
///
/// Outermost, so that what it compresses is the body. A signature covers the compressed bytes: a
/// receiver whose server unpacks first cannot check it.
///
/// ```
/// use events_http::{Gzip, HttpSink, NdJson};
///
/// let sink = HttpSink::builder("http://example.com/log").format(Gzip::new(NdJson)).build()?;
/// # let _: &dyn events_core::Sink<[u64]> = &sink;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Gzip<F> {
    format: F,
}

impl<F> Gzip<F> {
    /// Compresses what `format` makes.
    pub const fn new(format: F) -> Self {
        Self { format }
    }
}

impl<E: ?Sized + Event, F: Encode<E>> Encode<E> for Gzip<F> {
    fn encode(&self, event: &E) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let mut message = self.format.encode(event)?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&message.body)?;
        message.body = packed.finish()?.into();
        Ok(message.header("content-encoding", "gzip"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use flate2::read::GzDecoder;
    use std::io::read_to_string;

    #[test]
    fn what_is_packed_is_what_the_format_made() {
        let event = "a".repeat(10_000);
        let message = Gzip::new(Json).encode(&event).unwrap();
        assert!(message.body().len() < 200);
        assert_eq!(message.content_type(), "application/json");
        assert_eq!(message.headers, [("content-encoding".into(), "gzip".to_owned())]);
        let unpacked = read_to_string(GzDecoder::new(&message.body()[..])).unwrap();
        assert_eq!(unpacked, format!("\"{event}\""));
    }
}
