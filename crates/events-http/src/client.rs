use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use events_core::{ConfigError, SinkError};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{address::AddressPolicy, background::Background, connections::Connections};

/// Connections that several [`HttpSink`](crate::HttpSink)s share.
///
/// Cheap to clone: all clones use the same connections. A sink that is given none makes its own,
/// so share one where many sinks post to the same hosts, or where many would each keep a copy of
/// the trusted roots. Each runtime that it is used in has connections of its own: they end with it.
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
    pub(crate) connections: Arc<Connections>,
    pub(crate) policy: AddressPolicy,
    requests: Option<Arc<Semaphore>>,
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

    /// `requests`: how many there may be at a time.
    pub(crate) fn from_parts(
        connections: Connections,
        policy: AddressPolicy,
        requests: Option<usize>,
    ) -> Self {
        let requests = requests.map(|requests| Arc::new(Semaphore::new(requests)));
        let connections = Arc::new(connections);
        Self { connections, policy, requests, background: Arc::default() }
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

    pub(crate) const fn limits_requests(&self) -> bool {
        self.requests.is_some()
    }

    /// Waits until there are few enough requests for one more, which there is until this is
    /// dropped.
    pub(crate) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.requests.as_ref()?.acquire().await.ok()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("policy", &self.policy).finish_non_exhaustive()
    }
}
