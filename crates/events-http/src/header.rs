use reqwest::header::{HeaderName, HeaderValue};

/// Marks every attempt at the same event as one and the same request.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A header that may be sent; otherwise what is wrong with it, without its value.
pub(crate) fn parse(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed: HeaderName = name.parse().map_err(|_| {
        "has a name that is empty or holds a character not allowed there".to_owned()
    })?;
    if is_framing(&parsed) {
        return Err(format!("{parsed} is set by the client itself"));
    }
    if value.contains(['\r', '\n']) {
        return Err(format!("{parsed} has a value with a line break"));
    }
    // The receiver's side of the line may read bytes beyond ASCII in any way it likes.
    if !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return Err(format!("{parsed} has a value with a character that is not printable ASCII"));
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("{parsed} has a value that cannot be sent"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// Headers that say where a message ends. A wrong one would let the rest of it be read as another.
fn is_framing(name: &HeaderName) -> bool {
    use reqwest::header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
    [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_the_message_is_refused_without_telling_the_value() {
        for value in ["secret\r\nX-Evil: 1", "secret\n", "secret\0", "sécret", "secret\tx"] {
            let problem = parse("x-token", value).unwrap_err();
            assert!(problem.starts_with("x-token has a value with"), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
        for name in ["", "a b", "a:b", "a\n", "é"] {
            parse(name, "value").unwrap_err();
        }
        parse("Content-Length", "0").unwrap_err();
        parse("Transfer-Encoding", "chunked").unwrap_err();
    }

    #[test]
    fn debug_of_a_value_hides_it() {
        let (name, value) = parse("X-Token", "secret").unwrap();
        assert_eq!(name, "x-token");
        assert_eq!(value, "secret");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
