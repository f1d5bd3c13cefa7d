use std::{error::Error, time::SystemTime};

use crate::message::Message;

/// Vouches for what is sent: by a signature in a header, say.
///
/// Called at each attempt, since a signature may cover the time. An error means that this event
/// cannot be signed: it is [`Rejected`](events_core::ErrorKind::Rejected). No secret belongs in it.
///
/// `StandardWebhooks` is one, with the feature `standard-webhooks`.
///
/// ```
/// use std::{error::Error, time::SystemTime};
/// use events_http::{HttpSink, Message, Sign};
///
/// struct Length;
///
/// impl Sign for Length {
///     fn sign(
///         &self,
///         message: Message,
///         _now: SystemTime,
///     ) -> Result<Message, Box<dyn Error + Send + Sync>> {
///         let length = message.body().len().to_string();
///         Ok(message.header("X-Length", length))
///     }
/// }
///
/// let sink = HttpSink::builder("http://example.com/hook").sign(Length).build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
pub trait Sign: Send + Sync + 'static {
    /// The message with the headers that vouch for it, sent at `now`.
    fn sign(
        &self,
        message: Message,
        now: SystemTime,
    ) -> Result<Message, Box<dyn Error + Send + Sync>>;
}
