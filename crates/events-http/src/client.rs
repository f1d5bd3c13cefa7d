use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use events_core::{ConfigError, SinkError};
use reqwest::{redirect::Policy, retry};

use crate::background::Background;

/// No request may take longer than this; who wants more has mistaken the unit.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

/// Connections that several [`HttpSink`](crate::HttpSink)s share.
///
/// Cheap to clone: all clones use the same connections. A sink that is given none makes its own,
/// so share one where many sinks post to the same hosts, or where many would each keep a copy of
/// the trusted roots. Share it among sinks on threads, or among those of one runtime: a connection
/// ends with the runtime that opened it.
///
/// Redirects are not followed, requests are not repeated, and proxies named by the environment are
/// not used.
///
/// ```
/// use events_http::{Client, HttpSink, Json};
///
/// let client = Client::new()?;
/// let orders = HttpSink::builder("http://example.com/orders").client(&client).build()?;
/// let refunds = HttpSink::builder("http://example.com/refunds").client(&client).build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    background: Arc<OnceLock<Arc<Background>>>,
}

impl Client {
    /// A client with the defaults of its [`builder`](Self::builder).
    ///
    /// # Errors
    /// No certificate authority that the operating system trusts, or with the feature
    /// `rustls-no-provider` alone, no cryptography that the program has installed.
    pub fn new() -> Result<Self, ConfigError> {
        Self::builder().build()
    }

    /// Timeouts.
    pub const fn builder() -> ClientBuilder {
        ClientBuilder { connect_timeout: Duration::from_secs(5), only_plain: false }
    }

    /// Where requests run whose sink is not written to in a tokio runtime. Started when first
    /// needed, and kept as long as the client.
    pub(crate) fn background(&self) -> Result<&Background, SinkError> {
        if let Some(background) = self.background.get() {
            return Ok(background);
        }
        let started = Background::shared().map_err(SinkError::unavailable)?;
        Ok(self.background.get_or_init(|| started))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Sets up a [`Client`].
///
/// # Default
/// 5 seconds to connect.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    connect_timeout: Duration,
    only_plain: bool,
}

impl ClientBuilder {
    /// How long a connection may take to come about, its name looked up and TLS agreed; more than
    /// zero, at most a day. Part of the sink's [`timeout`](crate::Builder::timeout).
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// For `http` alone, which needs neither trusted roots nor cryptography.
    pub(crate) const fn only_plain(mut self) -> Self {
        self.only_plain = true;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// A timeout that makes no sense; those of [`Client::new`].
    pub fn build(self) -> Result<Client, ConfigError> {
        check_timeout("connect_timeout", self.connect_timeout)?;
        let http = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            .redirect(Policy::none())
            .retry(retry::never())
            .no_proxy();
        #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
        let http = if self.only_plain { http.tls_certs_only([]) } else { http };
        #[cfg(all(feature = "rustls-no-provider", not(feature = "rustls")))]
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ConfigError::new(
                "client",
                "needs a cryptography provider: install one with rustls' `install_default` first",
            ));
        }
        let http = http.build().map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_else(|| error.to_string());
            ConfigError::new("client", format!("could not be set up: {cause}"))
        })?;
        Ok(Client { http, background: Arc::default() })
    }
}

/// Refuses what would never end, or could never succeed.
pub(crate) fn check_timeout(setting: &'static str, timeout: Duration) -> Result<(), ConfigError> {
    if timeout.is_zero() {
        return Err(ConfigError::new(setting, "must be more than zero"));
    }
    if timeout > LONGEST_TIMEOUT {
        return Err(ConfigError::new(setting, "must be at most a day"));
    }
    Ok(())
}
