use std::{fmt, sync::Arc, time::Duration};

use events_core::{ConfigError, SinkError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};

use crate::{
    client::Client,
    client_builder::check_timeout,
    endpoint::{Endpoint, Settings},
    handshake::{self, Handshake},
    header,
    json::Json,
    keyed::Keyed,
    sign::Sign,
    sink::HttpSink,
    status_policy::{Answer, Classifier, StatusPolicy},
    url::parse_url,
};

/// Sets up an [`HttpSink`].
///
/// # Default
/// JSON; 15 seconds for a request; a [`Client`] of its own; no credentials, no idempotency key, no
/// signature; the user agent names this crate.
///
/// ```
/// use std::time::Duration;
/// use events_http::HttpSink;
///
/// #[derive(serde::Serialize)]
/// struct Order {
///     id: u64,
/// }
///
/// let sink = HttpSink::builder("http://example.com/orders")
///     .timeout(Duration::from_secs(30))
///     .header("X-Source", "shop")
///     .bearer_auth("a token")
///     .user_agent("shop/1.0")
///     .idempotency_key(|order: &Order| order.id)
///     .build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[must_use = "`build` makes the sink"]
pub struct Builder<F> {
    url: String,
    headers: Vec<(String, String)>,
    auth: Option<Auth>,
    user_agent: String,
    timeout: Duration,
    max_payload: usize,
    webhook_origin: Option<String>,
    client: Option<Client>,
    signer: Option<Arc<dyn Sign>>,
    statuses: StatusPolicy,
    classifier: Option<Classifier>,
    format: F,
}

enum Auth {
    Basic { user: String, password: String },
    Bearer(String),
}

impl HttpSink {
    /// Format, headers, credentials, timeouts, connections.
    pub fn builder(url: impl Into<String>) -> Builder<Json> {
        Builder::new(url.into())
    }
}

impl Builder<Json> {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            headers: Vec::new(),
            auth: None,
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeout: Duration::from_secs(15),
            max_payload: usize::MAX,
            webhook_origin: None,
            client: None,
            signer: None,
            statuses: StatusPolicy::default(),
            classifier: None,
            format: Json,
        }
    }
}

impl<F> Builder<F> {
    /// How an event becomes a body, in the place of [`Json`].
    pub fn format<G>(self, format: G) -> Builder<G> {
        self.map_format(|_| format)
    }

    /// Sends `key`, as text, in the header `Idempotency-Key`, so that a receiver can tell an event
    /// that comes again from a new one. It must be the same each time the same event is written.
    ///
    /// An event whose key is empty or not printable ASCII is rejected. With a key, 409 (Conflict)
    /// means that an earlier attempt is still being worked on, and so is worth another try.
    ///
    /// Set the [`format`](Self::format) first. The closure wants a typed argument,
    /// `|event: &Order| event.id`.
    pub fn idempotency_key<K>(self, key: K) -> Builder<Keyed<F, K>> {
        self.map_format(|format| Keyed::new(format, key))
    }

    /// Adds a header to each request; the same name again adds a value. `Content-Type` takes the
    /// place of the format's.
    ///
    /// Values must be printable ASCII. They are never shown, neither in errors nor in `Debug`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends user and password (`Authorization: Basic`), in the place of a bearer token.
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.auth = Some(Auth::Basic { user: user.into(), password: password.into() });
        self
    }

    /// Sends a token (`Authorization: Bearer`), in the place of user and password.
    pub fn bearer_auth(mut self, token: impl Into<String>) -> Self {
        self.auth = Some(Auth::Bearer(token.into()));
        self
    }

    /// The header `User-Agent`.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// How long a request may take in all, from the look-up of the name to the end of the answer;
    /// more than zero, at most a day. Afterwards the write is `Unavailable`.
    ///
    /// [`ClientBuilder::connect_timeout`](crate::ClientBuilder::connect_timeout) limits the first
    /// part of it.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes a body may have, as it is sent, by default as many as an event takes. An event
    /// with more is rejected, and nothing is sent.
    ///
    /// A body is in memory once, besides its event.
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Asks the endpoint for consent before the first event, in the name of `origin`, and names
    /// `origin` in each request: the handshake that CloudEvents have for web hooks. By default
    /// nobody is asked.
    ///
    /// `origin` is the DNS name of whoever sends. Until the endpoint consents, each write asks
    /// again and is [`Unavailable`](events_core::ErrorKind::Unavailable). If it consents to so many
    /// events a minute, each waits for its turn, for as long as a request may take.
    pub fn webhook_origin(mut self, origin: impl Into<String>) -> Self {
        self.webhook_origin = Some(origin.into());
        self
    }

    /// Signs each attempt, in the place of a signer set before. By default nothing is signed.
    pub fn sign(mut self, signer: impl Sign) -> Self {
        self.signer = Some(Arc::new(signer));
        self
    }

    /// Which answers are worth another attempt, and which are final.
    pub fn statuses(mut self, policy: StatusPolicy) -> Self {
        self.statuses = policy;
        self
    }

    /// Has `classify` say what an answer means, given its status, its headers and up to `body` bytes
    /// of the start of its body; what it answers `None` to is left to the
    /// [statuses](Self::statuses).
    ///
    /// So a receiver that says 200 and means that some events of a batch have failed can be
    /// understood: with [`SinkError::of_batch`], of which a retry tries those again that may be, and a
    /// queue knows the others for dead letters.
    ///
    /// ```
    /// use events_core::SinkError;
    /// use events_http::HttpSink;
    ///
    /// let hook = HttpSink::builder("http://example.com/bulk")
    ///     .classify(1_024, |answer| {
    ///         let failed = answer.status == 200 && answer.body.starts_with(b"{\"errors\":true");
    ///         failed.then(|| Err(SinkError::unavailable("some of the batch")))
    ///     })
    ///     .build()?;
    /// # Ok::<(), events_core::ConfigError>(())
    /// ```
    pub fn classify(
        mut self,
        body: usize,
        classify: impl Fn(&Answer<'_>) -> Option<Result<(), SinkError>> + Send + Sync + 'static,
    ) -> Self {
        self.classifier = Some(Classifier::new(body, classify));
        self
    }

    /// The connections to use, instead of some of its own.
    pub fn client(mut self, client: &Client) -> Self {
        self.client = Some(client.clone());
        self
    }

    /// The sink. Nothing is sent or looked up yet.
    ///
    /// # Errors
    /// A URL that is not `http` or `https`, has no host, or has a user or password in it, which
    /// belong in [`basic_auth`](Self::basic_auth), or an address that the client's policy does not
    /// allow; a header or credentials that cannot be sent; a
    /// timeout that makes no sense; without a [`client`](Self::client), those of [`Client::new`].
    pub fn build(self) -> Result<HttpSink<F>, ConfigError> {
        let url = parse_url(&self.url)?;
        check_timeout("timeout", self.timeout)?;
        let headers = self.parse_headers()?;
        let client = match self.client {
            Some(client) => client,
            None if url.scheme() == "http" => Client::builder().only_plain().build()?,
            None => Client::new()?,
        };
        client.policy.check_url(&url)?;
        let template =
            client.connections.current().post(url).headers(headers).timeout(self.timeout);
        let template = match self.auth {
            None => template,
            Some(Auth::Basic { user, password }) => template.basic_auth(user, Some(password)),
            Some(Auth::Bearer(token)) => template.bearer_auth(token),
        };
        let template = template.build().map_err(|error| {
            ConfigError::new("url", format!("cannot be posted to: {}", error.without_url()))
        })?;
        let settings = Settings {
            timeout: self.timeout,
            max_payload: self.max_payload,
            signer: self.signer,
            handshake: self.webhook_origin.map(Handshake::new),
            statuses: self.statuses,
            classifier: self.classifier,
        };
        Ok(HttpSink::from_parts(self.format, Endpoint::new(client, template, settings)))
    }

    fn parse_headers(&self) -> Result<HeaderMap, ConfigError> {
        let refuse = |setting| move |problem: String| ConfigError::new(setting, problem);
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (name, value) = header::parse(name, value).map_err(refuse("header"))?;
            headers.append(name, value);
        }
        if !headers.contains_key(USER_AGENT) {
            let (name, value) = header::parse(USER_AGENT.as_str(), &self.user_agent)
                .map_err(refuse("user_agent"))?;
            headers.append(name, value);
        }
        if self.auth.is_some() && headers.contains_key(AUTHORIZATION) {
            return Err(ConfigError::new("header", "authorization is set by other means too"));
        }
        if let Some(origin) = &self.webhook_origin {
            if !handshake::is_dns_name(origin) {
                return Err(ConfigError::new("webhook_origin", "must be a DNS name"));
            }
            let origin = HeaderValue::from_str(origin);
            let origin = origin.map_err(|_| ConfigError::new("webhook_origin", "is no header"))?;
            headers.insert(handshake::ORIGIN, origin);
        }
        match &self.auth {
            Some(Auth::Basic { user, .. }) if user.contains(':') => {
                return Err(ConfigError::new("basic_auth", "must have a user without a colon"));
            }
            Some(Auth::Bearer(token)) if token.is_empty() => {
                return Err(ConfigError::new("bearer_auth", "must have a token, was empty"));
            }
            Some(Auth::Bearer(token)) => {
                header::parse(AUTHORIZATION.as_str(), token).map_err(refuse("bearer_auth"))?;
            }
            _ => {}
        }
        Ok(headers)
    }

    fn map_format<G>(self, change: impl FnOnce(F) -> G) -> Builder<G> {
        Builder {
            url: self.url,
            headers: self.headers,
            auth: self.auth,
            user_agent: self.user_agent,
            timeout: self.timeout,
            max_payload: self.max_payload,
            webhook_origin: self.webhook_origin,
            client: self.client,
            signer: self.signer,
            statuses: self.statuses,
            classifier: self.classifier,
            format: change(self.format),
        }
    }
}

impl<F: fmt::Debug> fmt::Debug for Builder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("timeout", &self.timeout)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> Builder<Json> {
        HttpSink::builder("http://example.com/")
    }

    fn problem<F>(builder: Builder<F>) -> String {
        builder.build().expect_err("a setting is wrong").to_string()
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused() {
        for (builder, expected) in [
            (builder().header("X-Token", "secret\r\nX: y"), "header x-token has a value with a"),
            (builder().header("X Token", "secret"), "header has a name that is empty or"),
            (builder().header("Content-Length", "0"), "header content-length is set by the"),
            (builder().user_agent("a\nb"), "user_agent user-agent has a value with a line break"),
            (builder().bearer_auth("secret\n"), "bearer_auth authorization has a value with a"),
            (builder().bearer_auth(""), "bearer_auth must have a token"),
            (builder().basic_auth("a:b", "secret"), "basic_auth must have a user without"),
            (
                builder().bearer_auth("secret").header("authorization", "secret"),
                "header authorization is set by other means too",
            ),
        ] {
            let problem = problem(builder);
            assert!(problem.starts_with(expected), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn timeouts_that_make_no_sense_are_refused() {
        for timeout in [Duration::ZERO, Duration::MAX] {
            assert!(problem(builder().timeout(timeout)).starts_with("timeout must be"));
            let client = Client::builder().connect_timeout(timeout).build().unwrap_err();
            assert!(client.to_string().starts_with("connect_timeout must be"));
        }
    }

    #[test]
    fn an_origin_is_a_dns_name() {
        for origin in ["", "http://a", "a b", "a..b", "-a", "a\r\nX: y", "sécret", &"a".repeat(64)]
        {
            let problem = problem(builder().webhook_origin(origin));
            assert_eq!(problem, "webhook_origin must be a DNS name");
        }
        builder().webhook_origin("events.example.com").build().unwrap();
    }

    #[test]
    fn debug_shows_no_secret() {
        let builder = HttpSink::builder("http://example.com/secret?secret")
            .header("X-Token", "secret")
            .user_agent("secret")
            .basic_auth("secret", "secret");
        assert!(!format!("{builder:?}").contains("secret"));
        let sink = builder.build().unwrap();
        let debug = format!("{sink:?}");
        assert!(debug.contains("http://example.com") && !debug.contains("secret"), "{debug}");
    }
}
