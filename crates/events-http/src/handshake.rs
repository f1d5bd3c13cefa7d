use std::time::{Duration, Instant, SystemTime};

use events_core::{ErrorKind, SinkError, engine::clock};
use reqwest::{
    Method, Request, StatusCode,
    header::{HeaderMap, HeaderName},
};
use tokio::sync::Mutex;

use crate::{answer, status_policy::StatusPolicy};

/// Who wants to send: in the request for consent, and in each delivery.
pub(crate) const ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// The consent that an endpoint gives before anything is sent to it: the validation of the web hook
/// specification of CloudEvents.
#[derive(Debug)]
pub(crate) struct Handshake {
    origin: String,
    /// Locked while it is asked for, so that it is asked for once.
    consent: Mutex<Option<Consent>>,
}

/// What the endpoint agreed to.
#[derive(Debug)]
struct Consent {
    /// The time between two deliveries, if it asked for any.
    interval: Duration,
    /// When the next delivery may be.
    next: Instant,
}

impl Handshake {
    /// For an origin that was found to be a DNS name.
    pub(crate) fn new(origin: String) -> Self {
        Self { origin, consent: Mutex::new(None) }
    }

    /// The request for consent, made of one without body to the same URL.
    pub(crate) fn request(mut template: Request) -> Request {
        *template.method_mut() = Method::OPTIONS;
        template
    }

    /// Waits for a turn to deliver. Without consent, `ask` sends the request for it first.
    pub(crate) async fn turn(
        &self,
        ask: impl Future<Output = Result<(StatusCode, HeaderMap), SinkError>>,
    ) -> Result<(), SinkError> {
        let mut consent = self.consent.lock().await;
        let given = match &mut *consent {
            Some(given) => given,
            none => {
                let (status, headers) = ask.await?;
                none.insert(self.consent(status, &headers)?)
            }
        };
        let turn = given.next.max(clock::now());
        given.next = turn + given.interval;
        drop(consent);
        clock::sleep(turn.saturating_duration_since(clock::now())).await;
        Ok(())
    }

    /// What the answer to the request for consent means. Its status is no evidence.
    fn consent(&self, status: StatusCode, headers: &HeaderMap) -> Result<Consent, SinkError> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let allowed = text(ALLOWED_ORIGIN);
        if !allowed.is_some_and(|it| it == "*" || it.eq_ignore_ascii_case(&self.origin)) {
            tracing::warn!("the endpoint does not consent to being sent events: {status}");
            let answer =
                answer::outcome(status, headers, &StatusPolicy::STRICT, false, SystemTime::now());
            return Err(match answer {
                Err(error) if error.kind() != ErrorKind::Rejected => error,
                // Consent may still come, by ways of its own.
                _ => SinkError::unavailable(format!("no consent to events came with {status}")),
            });
        }
        // `*`, or nothing, is as many as there are.
        let rate = text(ALLOWED_RATE).and_then(|rate| rate.parse::<u32>().ok());
        let interval = match rate {
            Some(0) => return Err(SinkError::unavailable("the endpoint allows no events")),
            Some(rate) => Duration::from_mins(1) / rate,
            None => Duration::ZERO,
        };
        Ok(Consent { interval, next: clock::now() })
    }
}

/// Whether `origin` is what the specification asks for, a DNS name.
pub(crate) fn is_dns_name(origin: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    origin.len() <= 253 && origin.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{Ready, poll_fn, ready};

    type Answer = Result<(StatusCode, HeaderMap), SinkError>;

    fn consent(rate: &'static str) -> Ready<Answer> {
        let mut headers = HeaderMap::new();
        headers.insert(ALLOWED_ORIGIN, "*".parse().unwrap());
        headers.insert(ALLOWED_RATE, rate.parse().unwrap());
        ready(Ok((StatusCode::OK, headers)))
    }

    fn never() -> impl Future<Output = Answer> {
        poll_fn(|_| panic!("asked again"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_and_what_was_not_used_is_not_saved_up() {
        let handshake = Handshake::new("a".to_owned());
        let start = clock::now();
        let since = || clock::now().saturating_duration_since(start).as_secs();
        handshake.turn(consent("30")).await.unwrap();
        assert_eq!(since(), 0);
        for seconds in [2, 4, 6] {
            handshake.turn(never()).await.unwrap();
            assert_eq!(since(), seconds);
        }
        clock::sleep(Duration::from_secs(100)).await;
        handshake.turn(never()).await.unwrap();
        assert_eq!(since(), 106);
        handshake.turn(never()).await.unwrap();
        assert_eq!(since(), 108);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_there_is_no_wait() {
        for rate in ["*", "unknown"] {
            let handshake = Handshake::new("a".to_owned());
            let start = clock::now();
            handshake.turn(consent(rate)).await.unwrap();
            handshake.turn(never()).await.unwrap();
            assert_eq!(clock::now(), start);
        }
    }
}
