use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use events_core::ConfigError;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// Which addresses a [`Client`](crate::Client) connects to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressPolicy {
    /// All.
    #[default]
    Any,
    /// Those of the public Internet alone. For URLs that others give: nobody shall reach, by a URL
    /// or by what a name resolves to, what only this machine and its network may.
    ///
    /// Of the addresses that a name has, those that are not public are left out, each time a
    /// connection is made; a name that has no other is [`Rejected`](events_core::ErrorKind). A URL
    /// with such an address in it is refused when the sink is built, and so is a proxy, which would
    /// look the name up by itself.
    PublicOnly,
}

impl AddressPolicy {
    /// Whether this address may be connected to.
    ///
    /// ```
    /// use events_http::AddressPolicy;
    ///
    /// let mapped = "::ffff:127.0.0.1".parse().unwrap();
    /// assert!(!AddressPolicy::PublicOnly.allows(mapped));
    /// assert!(AddressPolicy::Any.allows(mapped));
    /// ```
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            // An IPv4 address inside an IPv6 one is reached just the same.
            Self::PublicOnly => match address.to_canonical() {
                IpAddr::V4(address) => is_public_v4(address),
                IpAddr::V6(address) => is_public_v6(address),
            },
        }
    }

    /// Refuses a URL with an address in it that may not be connected to; no resolver sees those.
    pub(crate) fn check_url(self, url: &Url) -> Result<(), ConfigError> {
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if literal.is_ok_and(|address| !self.allows(address)) {
            return Err(ConfigError::new("url", "holds an address that is not public"));
        }
        Ok(())
    }
}

/// Leaves out every block that the IANA registry of special addresses says is not global, and those
/// beyond unicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = matches!(
        address.octets(),
        // This network, loopback, multicast, reserved and broadcast.
        [0 | 127 | 224.., ..]
            // Shared by the customers of a carrier.
            | [100, 64..128, ..]
            // Protocols of the IETF, and the relays between IPv4 and IPv6.
            | [192, 0, 0, _] | [192, 88, 99, _]
            // Benchmarks.
            | [198, 18 | 19, ..]
    );
    let local = address.is_private() || address.is_link_local() || address.is_documentation();
    !special && !local
}

/// Only global unicast, `2000::/3`, without what is reserved there. Everything else is local, or is
/// a way to an IPv4 address: `::/96`, `64:ff9b::/96`.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let special = matches!(
        address.segments(),
        // Protocols of the IETF, with the tunnels of Teredo among them; documentation.
        [0x2001, 0..0x200 | 0xdb8, ..]
            // Tunnels to IPv4 addresses.
            | [0x2002, ..]
            // Documentation.
            | [0x3fff, 0..0x1000, ..]
    );
    address.segments()[0] & 0xe000 == 0x2000 && !special
}

/// A name that has no address that may be connected to.
#[derive(Debug)]
pub(crate) struct Forbidden;

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the endpoint's name has no public address")
    }
}

impl Error for Forbidden {}

impl Forbidden {
    /// Whether this is why.
    pub(crate) fn is_behind(error: &(dyn Error + 'static)) -> bool {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if error.is::<Self>() {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// How names become addresses; what this returns is what is connected to.
#[derive(Clone)]
pub(crate) struct Resolver {
    lookup: Arc<dyn Fn(String) -> Lookup + Send + Sync>,
    pub(crate) policy: AddressPolicy,
}

impl Resolver {
    /// The operating system's.
    pub(crate) fn system() -> Self {
        Self::new(|name| async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
    }

    pub(crate) fn new<F>(lookup: impl Fn(String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let lookup = Arc::new(move |name| Box::pin(lookup(name)) as Lookup);
        Self { lookup, policy: AddressPolicy::Any }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, policy) = ((self.lookup)(name.as_str().to_owned()), self.policy);
        Box::pin(async move {
            let mut addresses = lookup.await?;
            let known = !addresses.is_empty();
            addresses.retain(|address| policy.allows(address.ip()));
            if known && addresses.is_empty() {
                return Err(Forbidden.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("policy", &self.policy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AddressPolicy::PublicOnly;
    use std::sync::Mutex;

    const PRIVATE: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "3fff:fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "4000::1",
        "e000::1",
    ];

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700::1111",
        "2a00::1",
        "3ffe::1",
    ];

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn every_private_address_is_told_from_its_public_neighbours() {
        for address in addresses(PRIVATE) {
            assert!(!PublicOnly.allows(address.ip()), "{address}");
            assert!(AddressPolicy::Any.allows(address.ip()));
        }
        for address in addresses(PUBLIC) {
            assert!(PublicOnly.allows(address.ip()), "{address}");
        }
    }

    /// What a resolver makes of these answers, in turn.
    async fn resolved(answers: Vec<Vec<SocketAddr>>) -> Vec<Option<Vec<SocketAddr>>> {
        let count = answers.len();
        let answers = Mutex::new(answers.into_iter());
        let mut resolver = Resolver::new(move |name| {
            assert_eq!(name, "example.com");
            std::future::ready(Ok(answers.lock().unwrap().next().unwrap()))
        });
        resolver.policy = PublicOnly;
        let mut told = Vec::new();
        for _ in 0..count {
            let addresses = resolver.resolve("example.com".parse().unwrap()).await;
            if let Err(error) = &addresses {
                assert!(Forbidden::is_behind(&**error));
            }
            told.push(addresses.ok().map(Iterator::collect));
        }
        told
    }

    #[tokio::test]
    async fn a_name_is_looked_at_each_time_and_only_its_public_addresses_are_used() {
        for private in addresses(PRIVATE) {
            let public = addresses(&["8.8.8.8", "2a00::1"]);
            let mixed = vec![public[0], private, public[1]];
            assert_eq!(
                resolved(vec![public.clone(), vec![private], mixed, vec![private; 2]]).await,
                [Some(public.clone()), None, Some(public), None]
            );
        }
        assert_eq!(resolved(vec![Vec::new()]).await, [Some(Vec::new())]);
    }
}
