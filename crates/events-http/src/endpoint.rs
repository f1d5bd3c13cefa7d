use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use events_core::{ErrorKind, SinkError, engine::clock};
use reqwest::{
    Request, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::sync::{SemaphorePermit, watch};

use crate::{
    address::Forbidden,
    answer,
    client::Client,
    handshake::Handshake,
    header,
    message::Message,
    refusal::Unfit,
    sign::Sign,
    stats::{Counts, HttpStats},
    status_policy::{Answer, Classifier, StatusPolicy},
};

/// Where a sink posts to, shared with the requests that are in flight.
pub(crate) struct Endpoint {
    client: Client,
    /// What all requests have in common.
    template: Request,
    settings: Settings,
    /// Each request in flight watches it, so that it knows when there are none.
    life: watch::Sender<Life>,
    counts: Counts,
}

/// How requests are made and waited for.
pub(crate) struct Settings {
    pub(crate) timeout: Duration,
    /// In bytes.
    pub(crate) max_payload: usize,
    pub(crate) signer: Option<Arc<dyn Sign>>,
    pub(crate) handshake: Option<Handshake>,
    pub(crate) statuses: StatusPolicy,
    pub(crate) classifier: Option<Classifier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    Closed,
    Aborted,
}

impl Endpoint {
    pub(crate) fn new(client: Client, template: Request, settings: Settings) -> Self {
        let life = watch::Sender::new(Life::Open);
        Self { client, template, settings, life, counts: Counts::default() }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Scheme, host and port: what may be told of the address. Paths of webhooks hold secrets.
    pub(crate) fn origin(&self) -> String {
        self.template.url().origin().ascii_serialization()
    }

    pub(crate) fn stats(&self) -> HttpStats {
        self.counts.snapshot()
    }

    pub(crate) fn check_open(&self) -> Result<(), SinkError> {
        if *self.life.borrow() == Life::Open { Ok(()) } else { Err(SinkError::closed()) }
    }

    pub(crate) fn begin_close(&self) {
        self.end(Life::Closed);
    }

    pub(crate) fn abort(&self) {
        self.end(Life::Aborted);
    }

    /// True for the one call that ended an open life.
    fn end(&self, end: Life) -> bool {
        let mut was_open = false;
        self.life.send_if_modified(|life| {
            was_open = *life == Life::Open;
            let changes = *life != Life::Aborted && *life != end;
            if changes {
                *life = end;
            }
            changes
        });
        was_open
    }

    /// Ends with the last request in flight. Not later than the last could: one that nobody polls
    /// any more does not end at all.
    pub(crate) async fn idle(&self) {
        let longest = self.settings.timeout * if self.waits_for_admission() { 2 } else { 1 };
        first_of(self.life.closed(), clock::sleep(longest)).await;
    }

    /// One attempt.
    pub(crate) async fn post(self: Arc<Self>, message: Message) -> Result<(), SinkError> {
        let mut life = self.life.subscribe();
        self.check_open()?;
        let aborted = async {
            let _ = life.wait_for(|life| *life == Life::Aborted).await;
            Err(SinkError::new(ErrorKind::Closed, "aborted with the request in flight"))
        };
        let outcome = first_of(aborted, self.send(message)).await;
        if matches!(&outcome, Err(error) if error.kind() == ErrorKind::Closed)
            && self.end(Life::Closed)
        {
            tracing::warn!(endpoint = self.origin(), "the endpoint is gone for good");
        }
        outcome
    }

    async fn send(&self, message: Message) -> Result<(), SinkError> {
        let _slot = self.admission().await?;
        let request = self.request(message)?;
        let attempt = self.counts.begin();
        let keyed = request.headers().contains_key(header::IDEMPOTENCY_KEY);
        let mut response = self.execute(request).await?;
        let status = response.status();
        attempt.answered(status.as_u16());
        let own = self.classify(&mut response).await;
        let outcome = own.unwrap_or_else(|| {
            let (headers, statuses) = (response.headers(), &self.settings.statuses);
            answer::outcome(status, headers, statuses, keyed, SystemTime::now())
        });
        answer::drain(response).await;
        outcome
    }

    /// What the program says of an answer by itself.
    async fn classify(&self, response: &mut Response) -> Option<Result<(), SinkError>> {
        let classifier = self.settings.classifier.as_ref()?;
        let body = answer::start_of_body(response, classifier.body).await;
        classifier.classify(&Answer::new(response.status().as_u16(), response.headers(), &body))
    }

    /// Waits until one more request may be sent, which ends when what is returned is dropped.
    async fn admission(&self) -> Result<Option<SemaphorePermit<'_>>, SinkError> {
        if !self.waits_for_admission() {
            return Ok(None);
        }
        let admission = async {
            let slot = self.client.slot().await;
            if let Some(handshake) = &self.settings.handshake {
                handshake.turn(self.ask()).await?;
            }
            Ok(slot)
        };
        let admission = clock::before(admission, clock::sleep(self.settings.timeout)).await;
        admission.unwrap_or_else(|| {
            Err(SinkError::unavailable("other requests took all the time that this one had"))
        })
    }

    const fn waits_for_admission(&self) -> bool {
        self.client.limits_requests() || self.settings.handshake.is_some()
    }

    /// Asks for consent.
    async fn ask(&self) -> Result<(StatusCode, HeaderMap), SinkError> {
        let response = self.execute(Handshake::request(self.empty_request())).await?;
        let answer = (response.status(), response.headers().clone());
        answer::drain(response).await;
        Ok(answer)
    }

    async fn execute(&self, request: Request) -> Result<Response, SinkError> {
        self.client.connections.current().execute(request).await.map_err(|error| {
            // A URL holds secrets, and reqwest's errors show it.
            let error = error.without_url();
            if Forbidden::is_behind(&error) {
                return SinkError::rejected(error);
            }
            SinkError::unavailable(error)
        })
    }

    fn empty_request(&self) -> Request {
        self.template.try_clone().expect("the template has no body")
    }

    fn request(&self, message: Message) -> Result<Request, SinkError> {
        if message.body.len() > self.settings.max_payload {
            return Err(Unfit::error("the body is larger than the limit set for this endpoint"));
        }
        let message = match &self.settings.signer {
            Some(signer) => signer.sign(message, SystemTime::now()).map_err(SinkError::rejected)?,
            None => message,
        };
        let mut request = self.empty_request();
        let rejected = |problem| Unfit::error(format!("a header of the event's: {problem}"));
        let mut own = HeaderMap::with_capacity(1 + message.headers.len());
        let (name, value) =
            header::parse(CONTENT_TYPE.as_str(), &message.content_type).map_err(rejected)?;
        own.insert(name, value);
        for (name, value) in &message.headers {
            let (name, value) = header::parse(name, value).map_err(rejected)?;
            own.append(name, value);
        }
        // What the sink was set up with wins: a format knows less of the endpoint.
        own.extend(std::mem::take(request.headers_mut()));
        if message.body.is_empty() {
            // The client leaves it out, and some servers insist on a length.
            own.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.headers_mut() = own;
        *request.body_mut() = Some(message.body.into());
        Ok(request)
    }
}

/// The result of whichever ends first; of `a`, if both have.
async fn first_of<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => b.as_mut().poll(cx),
    })
    .await
}
