use std::path::PathBuf;

use events_core::ConfigError;
use reqwest::{Certificate, ClientBuilder, Identity};
use zeroize::Zeroizing;

/// Whom a client trusts, and how it shows who it is.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    pub(crate) more_roots: Option<Pem>,
    pub(crate) only_roots: Option<Pem>,
    pub(crate) identity: Option<Pem>,
}

/// Certificates or keys, or where they are.
#[derive(Clone)]
pub(crate) enum Pem {
    /// Wiped from memory, as far as it is in our hands.
    Text(Zeroizing<Vec<u8>>),
    File(PathBuf),
}

impl Pem {
    fn read(&self, setting: &'static str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => std::fs::read(path).map(Zeroizing::new).map_err(|error| {
                let problem = format!("could not be read from {}: {error}", path.display());
                ConfigError::new(setting, problem)
            }),
        }
    }
}

impl Tls {
    /// `only_plain`: there will be no TLS, so roots need not be there.
    pub(crate) fn apply(
        &self,
        mut http: ClientBuilder,
        only_plain: bool,
    ) -> Result<ClientBuilder, ConfigError> {
        #[cfg(all(feature = "rustls-no-provider", not(feature = "rustls")))]
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ConfigError::new(
                "client",
                "needs a cryptography provider: install one with rustls' `install_default` first",
            ));
        }
        if only_plain {
            http = http.tls_certs_only([]);
        }
        if let Some(pem) = &self.only_roots {
            http = http.tls_certs_only(certificates("only_root_certificates", pem)?);
        }
        if let Some(pem) = &self.more_roots {
            http = http.tls_certs_merge(certificates("root_certificates", pem)?);
        }
        if let Some(pem) = &self.identity {
            let pem = pem.read("client_certificate")?;
            let identity = Identity::from_pem(&pem).map_err(|_| {
                let problem = "must be PEM with a certificate and its private key";
                ConfigError::new("client_certificate", problem)
            })?;
            http = http.identity(identity);
        }
        Ok(http)
    }

    /// The files that are read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let all = [&self.more_roots, &self.only_roots, &self.identity].into_iter().flatten();
        let file = |pem: &Pem| match pem {
            Pem::File(path) => Some(path.clone()),
            Pem::Text(_) => None,
        };
        all.filter_map(file).collect()
    }
}

fn certificates(setting: &'static str, pem: &Pem) -> Result<Vec<Certificate>, ConfigError> {
    match Certificate::from_pem_bundle(&pem.read(setting)?) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ConfigError::new(setting, "must be PEM with at least one certificate")),
    }
}

#[cfg(test)]
mod tests {
    use crate::client::Client;

    #[test]
    fn certificates_that_cannot_be_read_are_refused_without_telling_them() {
        for pem in ["", "secret", "-----BEGIN CERTIFICATE-----\nsecret\n-----END CERTIFICATE-----"]
        {
            for builder in [
                Client::builder().root_certificates(pem),
                Client::builder().only_root_certificates(pem),
                Client::builder().client_certificate(pem),
            ] {
                let error = builder.only_plain().build().unwrap_err();
                assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
            }
        }
    }
}
