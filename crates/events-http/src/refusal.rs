use std::{error::Error, fmt};

use events_core::{ErrorKind, SinkError};
use reqwest::StatusCode;

/// The answer with which an endpoint refused an event: the source of the write's error.
///
/// ```
/// use std::error::Error;
/// use events_core::SinkError;
/// use events_http::Refusal;
///
/// fn is_unauthorized(error: &SinkError) -> bool {
///     let refusal = error.source().and_then(|source| source.downcast_ref::<Refusal>());
///     refusal.is_some_and(|refusal| refusal.status() == 401)
/// }
/// # assert!(!is_unauthorized(&SinkError::closed()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
}

impl Refusal {
    pub(crate) const fn new(status: StatusCode) -> Self {
        Self { status }
    }

    /// The status code, which is not one of 200 to 299.
    pub fn status(self) -> u16 {
        self.status.as_u16()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note =
            if self.status.is_redirection() { ", and redirects are not followed" } else { "" };
        write!(f, "the endpoint answered {}{note}", self.status)
    }
}

impl Error for Refusal {}

/// The event cannot be sent for what it is, as the sink found out by itself.
#[derive(Debug)]
pub(crate) struct Unfit(pub(crate) Box<dyn Error + Send + Sync>);

impl Unfit {
    pub(crate) fn error(problem: impl Into<Box<dyn Error + Send + Sync>>) -> SinkError {
        SinkError::rejected(Self(problem.into()))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Unfit {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// Whether an event was rejected for what it is, and not for where it was sent or by whom: without
/// a form, too large, or with one of the answers 400 (Bad Request), 413 (Content Too Large) and
/// 422 (Unprocessable Content).
///
/// Tells a [`Bisect`](events_core::Bisect) which batches are worth halving:
///
/// ```
/// use events_core::{Bisect, Breaker};
/// use events_http::{Encoded, Encoder, HttpSink, Json, is_about_content};
/// use events_retry::Retry;
///
/// let hook = HttpSink::builder("http://example.com/hook").format(Encoded).build()?;
/// let retry = Retry::new(hook, Breaker::default());
/// let batches = Bisect::new(Encoder::new(retry, Json)).when(is_about_content);
/// # let _: &dyn events_core::Sink<[u64]> = &batches;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_about_content(error: &SinkError) -> bool {
    let Some(source) = error.source() else { return false };
    error.kind() == ErrorKind::Rejected
        && match source.downcast_ref::<Refusal>() {
            Some(refusal) => matches!(refusal.status(), 400 | 413 | 422),
            None => source.is::<Unfit>(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_rejected_for_what_it_is_is_about_content() {
        let refused = |kind, status| {
            SinkError::new(kind, Refusal::new(StatusCode::from_u16(status).unwrap()))
        };
        for status in [400, 413, 422] {
            assert!(is_about_content(&refused(ErrorKind::Rejected, status)));
            assert!(!is_about_content(&refused(ErrorKind::Unavailable, status)));
        }
        for status in [301, 401, 403, 404, 405, 409, 411, 415, 501] {
            assert!(!is_about_content(&refused(ErrorKind::Rejected, status)));
        }
        assert!(is_about_content(&Unfit::error("too large")));
        assert!(!is_about_content(&SinkError::rejected("anything else")));
        assert!(!is_about_content(&SinkError::closed()));
    }
}
