use std::time::{Duration, SystemTime};

use events_core::{ErrorKind, SinkError};
use reqwest::{
    Response, StatusCode, Version,
    header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER, TRANSFER_ENCODING},
};

use crate::{refusal::Refusal, status_policy::StatusPolicy};

/// The longest wait that an endpoint may ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// How much of an answer's body is read, and for how long, so that its connection can be used
/// again. A longer body costs less as a new connection.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// What an answer means for the event, as `policy` says. `keyed`: the request had an idempotency key.
pub(crate) fn outcome(
    status: StatusCode,
    headers: &HeaderMap,
    policy: &StatusPolicy,
    keyed: bool,
    now: SystemTime,
) -> Result<(), SinkError> {
    if status.is_success() {
        return Ok(());
    }
    let wait = retry_after(headers, now);
    let kind = policy.kind(status.as_u16(), keyed, wait.is_some());
    let error = SinkError::new(kind, Refusal::new(status));
    Err(match wait {
        Some(wait) if kind == ErrorKind::Unavailable => error.with_retry_after(wait),
        _ => error,
    })
}

/// The first `most` bytes of an answer's body, or fewer, if they do not come in time.
pub(crate) async fn start_of_body(response: &mut Response, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while body.len() < most
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let rest = most - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(rest)]);
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
    body
}

/// `Retry-After` as seconds or as any of the three forms of an HTTP date, at most an hour.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Whole seconds, says RFC 9110; some send a part of one, which is waited for as a whole.
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    let wait = if is_number(whole) && is_number(part) {
        let more = u64::from(part.bytes().any(|digit| digit != b'0'));
        // A number too long for the type is longer than the longest wait too.
        whole.parse().map_or(u64::MAX, |seconds: u64| seconds.saturating_add(more))
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        return Some(until.duration_since(now).unwrap_or_default().min(LONGEST_WAIT));
    };
    Some(Duration::from_secs(wait).min(LONGEST_WAIT))
}

/// Reads the rest of the answer, so that its connection is free for the next request; gives up on
/// a body that is too long or too slow. What it says does not matter.
///
/// One that ends with its connection is not read: the end may be long in coming, and there is no next
/// request on that connection.
pub(crate) async fn drain(mut response: Response) {
    let has_body = !matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body && ends_with_connection(response.version(), response.headers()) {
        return;
    }
    let read = async {
        let mut left = DRAIN_BYTES;
        while let Ok(Some(chunk)) = response.chunk().await {
            let Some(rest) = left.checked_sub(chunk.len()) else { return };
            left = rest;
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, read).await;
    // The client puts the connection back in a task of its own. Let that come first: the next
    // request would otherwise open another connection.
    tokio::task::yield_now().await;
}

/// Whether a body has no other end than that of its connection (RFC 9112, section 6.3).
fn ends_with_connection(version: Version, headers: &HeaderMap) -> bool {
    version < Version::HTTP_2
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    const NOW: u64 = 784_111_777;

    fn answer(status: u16, retry_after: &str) -> SinkError {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, retry_after.parse().unwrap())]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let status = StatusCode::from_u16(status).unwrap();
        outcome(status, &headers, &StatusPolicy::default(), false, now).unwrap_err()
    }

    #[test]
    fn retry_after_comes_in_seconds_and_three_forms_of_date() {
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            // The past is now; what is too far away is clamped.
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:48:37 GMT", Some(3600)),
            ("3601", Some(3600)),
            ("18446744073709551616", Some(3600)),
            ("99999999999999999999999999999999999999999999", Some(3600)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", Some(2)),
            ("2.00", Some(2)),
            ("0.001", Some(1)),
            (".5", None),
            ("1.", None),
            ("1.5.5", None),
            ("tomorrow", None),
        ] {
            let wait = answer(503, value).retry_after();
            assert_eq!(wait, seconds.map(Duration::from_secs), "{value:?}");
        }
    }

    #[test]
    fn a_body_without_a_length_ends_with_its_connection() {
        let with = |name, value: &str| HeaderMap::from_iter([(name, value.parse().unwrap())]);
        let none = HeaderMap::new();
        assert!(ends_with_connection(Version::HTTP_11, &none));
        assert!(!ends_with_connection(Version::HTTP_2, &none));
        assert!(!ends_with_connection(Version::HTTP_11, &with(CONTENT_LENGTH, "0")));
        assert!(!ends_with_connection(Version::HTTP_11, &with(TRANSFER_ENCODING, "chunked")));
    }

    #[test]
    fn only_what_may_help_later_says_when() {
        for status in [400, 410, 422] {
            assert_eq!(answer(status, "5").retry_after(), None);
        }
    }

    #[test]
    fn a_redirect_says_that_it_is_not_followed() {
        let error = answer(307, "5");
        assert_eq!(
            error.source().unwrap().to_string(),
            "the endpoint answered 307 Temporary Redirect, and redirects are not followed"
        );
    }
}
