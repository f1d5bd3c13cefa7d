#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
use std::path::PathBuf;
use std::{fmt, io, net::SocketAddr, time::Duration};

use events_core::ConfigError;
use reqwest::{redirect::Policy, retry};
use tokio::sync::Semaphore;

#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
use crate::tls::{Pem, Tls};
use crate::{
    address::{AddressPolicy, Resolver},
    client::Client,
    connections::{Connections, Recipe},
    proxy::ProxyTo,
};

/// No request may take longer than this; who wants more has mistaken the unit.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

/// Sets up a [`Client`].
///
/// # Default
/// 5 seconds to connect; connections are kept idle for 90 seconds, however many, and used for 5
/// minutes; any number of requests at a time; no proxy; any address, as the operating system resolves names; trusted are
/// the certificate authorities that the operating system trusts.
#[derive(Clone)]
#[must_use = "`build` makes the client"]
pub struct ClientBuilder {
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_connections: usize,
    max_age: Duration,
    requests: Option<usize>,
    proxy: Option<ProxyTo>,
    policy: AddressPolicy,
    resolver: Option<Resolver>,
    only_plain: bool,
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    tls: Tls,
    #[cfg(feature = "http2")]
    only_http2: bool,
}

impl Client {
    /// Timeouts, certificates, proxies, limits.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }
}

impl ClientBuilder {
    pub(crate) fn new() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(90),
            idle_connections: usize::MAX,
            max_age: Duration::from_mins(5),
            requests: None,
            proxy: None,
            policy: AddressPolicy::Any,
            resolver: None,
            only_plain: false,
            #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
            tls: Tls::default(),
            #[cfg(feature = "http2")]
            only_http2: false,
        }
    }

    /// How long a connection may take to come about, its name looked up and TLS agreed; more than
    /// zero, at most a day. Part of the sink's [`timeout`](crate::Builder::timeout).
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a connection is kept that nobody uses.
    pub const fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// How many connections to a host are kept that nobody uses.
    pub const fn max_idle_connections(mut self, connections: usize) -> Self {
        self.idle_connections = connections;
        self
    }

    /// How long connections are used for new requests, more than zero: then others take their place,
    /// so that what the name's look-up says has changed is heard of under steady traffic too, and so
    /// that a load balancer has its say. What is under way goes on. Default: 5 minutes.
    pub const fn max_connection_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// How many requests are under way at a time, at least 1, by all sinks that share the client:
    /// as many as there are connections, or less with HTTP/2. The others wait, no longer than a
    /// request may take, and are then [`Unavailable`](events_core::ErrorKind::Unavailable).
    pub const fn max_requests(mut self, requests: usize) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Sends every request through this proxy, `http://…`; with the feature `rustls` also
    /// `https://…`. Only who is given one uses one: the environment's are ignored.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(ProxyTo { url: url.into(), auth: None });
        self
    }

    /// The same with a user and a password for the proxy.
    pub fn proxy_with_auth(
        mut self,
        url: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        self.proxy = Some(ProxyTo { url: url.into(), auth: Some((user.into(), password.into())) });
        self
    }

    /// Which addresses are connected to.
    pub const fn address_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Looks names up, in the place of the operating system. Ports are ignored.
    ///
    /// ```
    /// use std::future::ready;
    /// use events_http::Client;
    ///
    /// let here = Client::builder().resolver(|_name| ready(Ok(vec![([127, 0, 0, 1], 0).into()])));
    /// ```
    pub fn resolver<F>(mut self, lookup: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Some(Resolver::new(lookup));
        self
    }

    /// Trusts the certificate authorities in `pem` as well, one or more.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "rustls", feature = "rustls-no-provider"))))]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.more_roots = Some(Pem::Text(pem.into().into()));
        self
    }

    /// Trusts the certificate authorities in `pem`, one or more, and no others.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "rustls", feature = "rustls-no-provider"))))]
    pub fn only_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.only_roots = Some(Pem::Text(pem.into().into()));
        self
    }

    /// Shows a certificate to endpoints that ask for one: in `pem` its chain, and its private key.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "rustls", feature = "rustls-no-provider"))))]
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.identity = Some(Pem::Text(pem.into().into()));
        self
    }

    /// [`root_certificates`](Self::root_certificates) from a file: when it changes, so does the trust,
    /// within a second or so. One that cannot be read any more leaves it as it was.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "rustls", feature = "rustls-no-provider"))))]
    pub fn root_certificates_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.more_roots = Some(Pem::File(path.into()));
        self
    }

    /// [`only_root_certificates`](Self::only_root_certificates) from a file, likewise.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "rustls", feature = "rustls-no-provider"))))]
    pub fn only_root_certificates_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.only_roots = Some(Pem::File(path.into()));
        self
    }

    /// [`client_certificate`](Self::client_certificate) from a file, likewise: what renews it need
    /// tell nobody.
    #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "rustls", feature = "rustls-no-provider"))))]
    pub fn client_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.tls.identity = Some(Pem::File(path.into()));
        self
    }

    /// Speaks HTTP/2 alone, even where it is not agreed upon by TLS. Without this, an endpoint with
    /// `https` chooses, and others are spoken to in HTTP/1.
    #[cfg(feature = "http2")]
    #[cfg_attr(docsrs, doc(cfg(feature = "http2")))]
    pub const fn only_http2(mut self) -> Self {
        self.only_http2 = true;
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
    /// A timeout or a limit that makes no sense, a proxy that is none or goes against the address
    /// policy, certificates that cannot be read; those of [`Client::new`].
    pub fn build(self) -> Result<Client, ConfigError> {
        check_timeout("connect_timeout", self.connect_timeout)?;
        check_timeout("idle_timeout", self.idle_timeout)?;
        if !self.requests.is_none_or(|requests| (1..=Semaphore::MAX_PERMITS).contains(&requests)) {
            return Err(ConfigError::new("max_requests", "must be at least 1"));
        }
        if self.max_age.is_zero() {
            return Err(ConfigError::new("max_connection_age", "must be more than zero"));
        }
        let (policy, requests) = (self.policy, self.requests);
        #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
        let files = self.tls.files();
        #[cfg(not(any(feature = "rustls", feature = "rustls-no-provider")))]
        let files = Vec::new();
        let max_age = self.max_age;
        let recipe = Recipe { connect: Box::new(move || self.connect()), files, max_age };
        Ok(Client::from_parts(Connections::new(recipe)?, policy, requests))
    }

    /// What makes connections, of which there are none yet.
    fn connect(&self) -> Result<reqwest::Client, ConfigError> {
        let mut http = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.idle_connections)
            .redirect(Policy::none())
            .retry(retry::never())
            .no_proxy();
        if let Some(proxy) = &self.proxy {
            if self.policy != AddressPolicy::Any {
                return Err(ConfigError::new(
                    "proxy",
                    "must not be used where not all addresses are: it looks names up by itself",
                ));
            }
            http = http.proxy(proxy.parse()?);
        }
        if self.policy != AddressPolicy::Any || self.resolver.is_some() {
            let mut resolver = self.resolver.clone().unwrap_or_else(Resolver::system);
            resolver.policy = self.policy;
            http = http.dns_resolver(resolver);
        }
        #[cfg(feature = "http2")]
        if self.only_http2 {
            http = http.http2_prior_knowledge();
        }
        #[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
        let http = self.tls.apply(http, self.only_plain)?;
        http.build().map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_else(|| error.to_string());
            ConfigError::new("client", format!("could not be set up: {cause}"))
        })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(builder: ClientBuilder) -> String {
        builder.build().expect_err("a setting is wrong").to_string()
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_without_telling_secrets() {
        let builder = Client::builder;
        for (builder, expected) in [
            (builder().max_requests(0), "max_requests must be at least 1"),
            (builder().idle_timeout(Duration::ZERO), "idle_timeout must be more than zero"),
            (builder().proxy("secret"), "proxy must be a URL"),
            (builder().proxy("ftp://secret"), "proxy must begin with http://"),
            (builder().proxy("http://secret@a"), "proxy must not hold a user or password"),
            (
                builder().proxy("http://secret").address_policy(AddressPolicy::PublicOnly),
                "proxy must not be used where not all addresses are",
            ),
        ] {
            let problem = problem(builder.only_plain());
            assert!(problem.starts_with(expected) && !problem.contains("secret"), "{problem}");
        }
        let debug = format!("{:?}", builder().proxy_with_auth("http://secret", "secret", "secret"));
        assert!(!debug.contains("secret"), "{debug}");
    }
}
