use events_core::ConfigError;
use reqwest::{Proxy, Url};

/// The proxy that requests go through.
#[derive(Clone)]
pub(crate) struct ProxyTo {
    pub(crate) url: String,
    /// User and password.
    pub(crate) auth: Option<(String, String)>,
}

impl ProxyTo {
    pub(crate) fn parse(&self) -> Result<Proxy, ConfigError> {
        let refuse = |problem: &str| ConfigError::new("proxy", problem);
        let url = Url::parse(&self.url).map_err(|_| refuse("must be a URL"))?;
        let tls = cfg!(any(feature = "rustls", feature = "rustls-no-provider"));
        if !(url.scheme() == "http" || tls && url.scheme() == "https") {
            return Err(refuse("must begin with http://, or with the feature `rustls` https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("must not hold a user or password; use proxy_with_auth"));
        }
        let proxy = Proxy::all(url).map_err(|_| refuse("cannot be used"))?;
        Ok(match &self.auth {
            Some((user, password)) => proxy.basic_auth(user, password),
            None => proxy,
        })
    }
}
