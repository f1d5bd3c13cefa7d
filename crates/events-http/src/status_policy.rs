use std::{fmt, sync::Arc};

use events_core::{ErrorKind, SinkError};
use reqwest::header::HeaderMap;

/// Which answers of an endpoint are worth another attempt, and which are final.
///
/// 2xx is `Ok` in all of them. A `Retry-After`, up to an hour, goes with what is tried again.
///
/// # Default
/// [`STANDARD_WEBHOOKS`](Self::STANDARD_WEBHOOKS).
///
/// ```
/// use events_http::{HttpSink, StatusPolicy};
///
/// // This receiver answers 404 to events that it does not know, and means it.
/// let statuses = StatusPolicy::STANDARD_WEBHOOKS.reject([404]);
/// let hook = HttpSink::builder("http://example.com/hook").statuses(statuses).build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusPolicy {
    is_strict: bool,
    /// What was said of single statuses, the last word last.
    own: Vec<(u16, ErrorKind)>,
}

impl StatusPolicy {
    /// Everything outside 2xx is tried again, a redirect, 401 and 404 too: a receiver may be in the
    /// middle of its deployment. Final is only what is about this event's content: 400, 413 without a
    /// `Retry-After`, 414, 415, 422 and 431; and 410 ends the endpoint. So the
    /// [specification](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
    /// of Standard Webhooks wants it, and most senders do the same.
    pub const STANDARD_WEBHOOKS: Self = Self { is_strict: false, own: Vec::new() };

    /// Tried again is only what says that it is temporary: 408, 425, 429, 5xx but 501 and 505, 413
    /// with a `Retry-After`, 409 where the request had an idempotency key. All else is final, and 410
    /// ends the endpoint.
    pub const STRICT: Self = Self { is_strict: true, own: Vec::new() };

    /// These are tried again: the write is [`Unavailable`](ErrorKind::Unavailable).
    pub fn retry(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, ErrorKind::Unavailable)
    }

    /// These are final: the write is [`Rejected`](ErrorKind::Rejected).
    pub fn reject(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, ErrorKind::Rejected)
    }

    /// These end the endpoint: the write is [`Closed`](ErrorKind::Closed), and so is every later one.
    pub fn close(self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.with(statuses, ErrorKind::Closed)
    }

    fn with(mut self, statuses: impl IntoIterator<Item = u16>, kind: ErrorKind) -> Self {
        self.own.extend(statuses.into_iter().map(|status| (status, kind)));
        self
    }

    /// What an answer outside 2xx means. `keyed`: the request had an idempotency key; `waits`: the
    /// answer has a `Retry-After`.
    pub(crate) fn kind(&self, status: u16, keyed: bool, waits: bool) -> ErrorKind {
        if let Some((_, kind)) = self.own.iter().rev().find(|(own, _)| *own == status) {
            return *kind;
        }
        let is_final = match status {
            410 => return ErrorKind::Closed,
            413 => !waits,
            400 | 414 | 415 | 422 | 431 => true,
            _ if !self.is_strict => false,
            // Too busy now: Request Timeout, Too Early, Too Many Requests.
            408 | 425 | 429 => false,
            // An earlier attempt with the same key is still being worked on.
            409 => !keyed,
            // Not Implemented, HTTP Version Not Supported: no attempt will be different.
            501 | 505 => true,
            // A class that does not exist is to be read as 5xx (RFC 9110, section 15).
            status => status < 500,
        };
        if is_final { ErrorKind::Rejected } else { ErrorKind::Unavailable }
    }
}

impl Default for StatusPolicy {
    fn default() -> Self {
        Self::STANDARD_WEBHOOKS
    }
}

/// An answer as a [classifier](crate::Builder::classify) sees it. Its `Debug` does not show the body.
#[non_exhaustive]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The start of the body, as far as it was asked for.
    pub body: &'a [u8],
    headers: &'a HeaderMap,
}

impl<'a> Answer<'a> {
    pub(crate) const fn new(status: u16, headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        Self { status, body, headers }
    }

    /// The first value of a header, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// What a program says of answers by itself, and how much of their bodies it wants to see.
#[derive(Clone)]
pub(crate) struct Classifier {
    pub(crate) body: usize,
    classify: Arc<Classify>,
}

type Classify = dyn Fn(&Answer<'_>) -> Option<Result<(), SinkError>> + Send + Sync;

impl Classifier {
    pub(crate) fn new(
        body: usize,
        classify: impl Fn(&Answer<'_>) -> Option<Result<(), SinkError>> + Send + Sync + 'static,
    ) -> Self {
        Self { body, classify: Arc::new(classify) }
    }

    pub(crate) fn classify(&self, answer: &Answer<'_>) -> Option<Result<(), SinkError>> {
        (self.classify)(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ErrorKind::{Closed, Rejected, Unavailable};

    #[test]
    fn by_default_only_what_is_about_the_content_is_final() {
        for status in (100..1000).filter(|status| !(200..300).contains(status)) {
            let expected = match status {
                410 => Closed,
                400 | 413 | 414 | 415 | 422 | 431 => Rejected,
                _ => Unavailable,
            };
            let kind = StatusPolicy::default().kind(status, false, false);
            assert_eq!(kind, expected, "{status}");
        }
    }

    #[test]
    fn strictly_only_what_is_temporary_is_tried_again() {
        for status in (100..1000).filter(|status| !(200..300).contains(status)) {
            let expected = match status {
                410 => Closed,
                408 | 425 | 429 | 500 | 502..=504 | 506..=999 => Unavailable,
                _ => Rejected,
            };
            let kind = StatusPolicy::STRICT.kind(status, false, false);
            assert_eq!(kind, expected, "{status}");
        }
    }

    #[test]
    fn a_conflict_is_an_attempt_in_flight_only_with_a_key() {
        assert_eq!(StatusPolicy::STRICT.kind(409, true, false), Unavailable);
        assert_eq!(StatusPolicy::STRICT.kind(409, false, false), Rejected);
    }

    #[test]
    fn too_large_is_temporary_only_if_told_so() {
        for policy in [StatusPolicy::STANDARD_WEBHOOKS, StatusPolicy::STRICT] {
            assert_eq!(policy.kind(413, false, true), Unavailable);
            assert_eq!(policy.kind(413, false, false), Rejected);
        }
    }

    #[test]
    fn the_last_word_on_a_status_counts() {
        let policy = StatusPolicy::STRICT.retry([404, 410]).reject([503]).close([401]);
        let policy = policy.reject([410]);
        let kinds = [404, 410, 503, 401, 500].map(|status| policy.kind(status, false, false));
        assert_eq!(kinds, [Unavailable, Rejected, Rejected, Closed, Unavailable]);
    }
}
