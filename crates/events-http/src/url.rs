use events_core::ConfigError;
use reqwest::Url;

/// The address, if it is one to post to; the error does not repeat it.
pub(crate) fn parse_url(url: &str) -> Result<Url, ConfigError> {
    let refuse = |problem: &str| Err(ConfigError::new("url", problem));
    let url = match Url::parse(url) {
        Ok(url) => url,
        Err(error) => return refuse(&format!("is not valid: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("must begin with http:// or https://");
    }
    if !url.has_host() {
        return refuse("must name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("must not hold a user or password; use basic_auth");
    }
    if url.scheme() == "https" && cfg!(not(any(feature = "rustls", feature = "rustls-no-provider")))
    {
        return refuse("is https, which needs the feature `rustls`");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_posted_to_is_refused() {
        for (url, expected) in [
            ("", "url is not valid: relative URL without a base"),
            ("example.com/hook", "url is not valid: relative URL without a base"),
            ("http://", "url is not valid: empty host"),
            ("https://:443/hook", "url is not valid: empty host"),
            ("http://example.com:99999/", "url is not valid: invalid port number"),
            ("ftp://example.com/", "url must begin with http:// or https://"),
            ("file:///etc/passwd", "url must begin with http:// or https://"),
            ("mailto:secret@example.com", "url must begin with http:// or https://"),
            ("secret:secret@example.com", "url must begin with http:// or https://"),
            ("http://secret@example.com", "url must not hold a user or password; use basic_auth"),
            ("http://:secret@a.b", "url must not hold a user or password; use basic_auth"),
        ] {
            assert_eq!(parse_url(url).unwrap_err().to_string(), expected);
        }
    }

    #[cfg(not(any(feature = "rustls", feature = "rustls-no-provider")))]
    #[test]
    fn without_tls_https_is_refused() {
        let error = parse_url("https://example.com").unwrap_err();
        assert_eq!(error.to_string(), "url is https, which needs the feature `rustls`");
    }
}
