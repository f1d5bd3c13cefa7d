use std::{
    fmt,
    time::{Duration, SystemTime},
};

use base64::Engine;
use events_core::ConfigError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::standard_webhooks::{BASE64, LONGEST_KEY};

/// How old, or how far ahead, a message may be, as the specification's libraries have it.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Tells a receiver whether a message is signed as
/// [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
/// have it: the other side of [`StandardWebhooks`](crate::StandardWebhooks).
///
/// A message counts if one of its signatures is of one of the keys, and if it is not too old: who has
/// listened in could send it once more. Within that time, and where the sender tries again, the same
/// `webhook-id` may come twice, which is for the receiver to remember.
///
/// # Default
/// A message may be five minutes old, or ahead.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use events_http::WebhookVerifier;
///
/// let verifier = WebhookVerifier::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// let header = |name: &str| match name {
///     "webhook-id" => Some("msg_p5jXN8AQM9LWM0D4loKWxJek"),
///     "webhook-timestamp" => Some("1614265330"),
///     "webhook-signature" => Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
///     _ => None,
/// };
/// // A server has `|name| headers.get(name)?.to_str().ok()` and the body before it is parsed.
/// # let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_614_265_331);
/// verifier.verify_at(header, br#"{"test": 2432232314}"#, now)?;
/// assert!(verifier.verify(header, b"another body").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WebhookVerifier {
    keys: Vec<Key>,
    tolerance: Duration,
}

/// What tells signatures of one scheme.
enum Key {
    /// `v1`, with the key mixed in already.
    Symmetric(Hmac<Sha256>),
    /// `v1a`.
    #[cfg(feature = "ed25519")]
    Public(ed25519_dalek::VerifyingKey),
}

/// Why a message does not count. Nothing of it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header is not there, or not text.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// `webhook-timestamp` is no number of seconds.
    #[error("the header webhook-timestamp is no number of seconds since 1970")]
    Timestamp,
    /// It was sent too long ago: it may be a repetition by somebody who has listened in.
    #[error("the message is older than is allowed, or the clock here is ahead")]
    TooOld,
    /// It says that it was sent later than now.
    #[error("the message is from the future, or the clock here is behind")]
    TooNew,
    /// No signature is of a key that is known here.
    #[error("no signature of the message is of a key that is known here")]
    NoSignature,
}

impl WebhookVerifier {
    /// Takes messages signed with `key`.
    ///
    /// `whsec_` and the base64 of 24 to 64 bytes: the secret that the sender has too. With the feature
    /// `ed25519`, `whpk_` and the base64 of the sender's public key.
    ///
    /// # Errors
    /// It is not of that form. The error does not show it.
    pub fn new(key: &str) -> Result<Self, ConfigError> {
        Self { keys: Vec::new(), tolerance: TOLERANCE }.and(key)
    }

    /// Takes messages signed with `key` too, such as the one that a sender is about to change to.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn and(mut self, key: &str) -> Result<Self, ConfigError> {
        self.keys.push(Key::parse(key).map_err(|problem| ConfigError::new("key", problem))?);
        Ok(self)
    }

    /// How old a message may be, and how far ahead.
    pub const fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Whether the message counts, with these headers and this body, byte for byte as it came. It
    /// takes the same time for every wrong signature.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<&'a str>,
        body: &[u8],
    ) -> Result<(), VerifyError> {
        self.verify_at(header, body, SystemTime::now())
    }

    /// The same at another time.
    ///
    /// # Errors
    /// Why it does not.
    pub fn verify_at<'a>(
        &self,
        header: impl Fn(&'static str) -> Option<&'a str>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let header = |name| header(name).ok_or(VerifyError::Missing(name));
        let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
        let signatures = header("webhook-signature")?;
        self.check_time(timestamp, now)?;
        let head = format!("{id}.{timestamp}.");
        let parts = [head.as_bytes(), body];
        // Several, while keys are being changed; a scheme that is not known here is passed over.
        let known = signatures.split(' ').filter_map(|signature| signature.split_once(','));
        let is_signed = known.into_iter().any(|(scheme, signature)| {
            BASE64.decode(signature).is_ok_and(|signature| {
                self.keys.iter().any(|key| key.takes(scheme, &signature, &parts))
            })
        });
        if is_signed { Ok(()) } else { Err(VerifyError::NoSignature) }
    }

    fn check_time(&self, timestamp: &str, now: SystemTime) -> Result<(), VerifyError> {
        // Digits alone: what is signed is this very text.
        let is_number = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
        let seconds = timestamp.parse().ok().filter(|_| is_number).ok_or(VerifyError::Timestamp)?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let tolerance = self.tolerance.as_secs();
        if now.saturating_sub(seconds) > tolerance {
            return Err(VerifyError::TooOld);
        }
        if seconds.saturating_sub(now) > tolerance {
            return Err(VerifyError::TooNew);
        }
        Ok(())
    }
}

impl Key {
    fn parse(key: &str) -> Result<Self, &'static str> {
        let mut buffer = Zeroizing::new([0; LONGEST_KEY + 3]);
        let mut decode = |text: &str| {
            let length = BASE64.decode_slice(text, &mut *buffer);
            length.map_err(|_| "must be base64 of at most 64 bytes after its prefix")
        };
        if let Some(text) = key.strip_prefix("whsec_") {
            let length = decode(text)?;
            if !(24..=LONGEST_KEY).contains(&length) {
                return Err("must have 24 to 64 bytes");
            }
            let keyed = Hmac::new_from_slice(&buffer[..length]);
            return keyed.map(Self::Symmetric).map_err(|_| "must have 24 to 64 bytes");
        }
        #[cfg(feature = "ed25519")]
        if let Some(text) = key.strip_prefix("whpk_") {
            let length = decode(text)?;
            let key = ed25519_dalek::VerifyingKey::try_from(&buffer[..length]);
            return key.map(Self::Public).map_err(|_| "must be a public key of 32 bytes");
        }
        Err("must begin with whsec_, or with the feature `ed25519` with whpk_")
    }

    /// Whether `signature` is this key's, of these bytes side by side.
    fn takes(&self, scheme: &str, signature: &[u8], parts: &[&[u8]]) -> bool {
        match (self, scheme) {
            (Self::Symmetric(keyed), "v1") => {
                let mac = parts.iter().fold(keyed.clone(), Mac::chain_update);
                mac.verify_slice(signature).is_ok()
            }
            #[cfg(feature = "ed25519")]
            (Self::Public(key), "v1a") => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(&parts.concat(), &signature).is_ok()),
            _ => false,
        }
    }
}

/// How many keys there are, and nothing of them.
impl fmt::Debug for WebhookVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookVerifier")
            .field("keys", &self.keys.len())
            .field("tolerance", &self.tolerance)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use VerifyError::{Missing, NoSignature, Timestamp, TooNew, TooOld};

    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const SENT: u64 = 1_614_265_330;

    fn verify(
        verifier: &WebhookVerifier,
        [id, timestamp, signature]: [Option<&str>; 3],
        body: &[u8],
        now: u64,
    ) -> Result<(), VerifyError> {
        let header = |name: &str| match name {
            "webhook-id" => id,
            "webhook-timestamp" => timestamp,
            "webhook-signature" => signature,
            _ => None,
        };
        verifier.verify_at(header, body, SystemTime::UNIX_EPOCH + Duration::from_secs(now))
    }

    const ID: Option<&str> = Some("msg_p5jXN8AQM9LWM0D4loKWxJek");
    const TIME: Option<&str> = Some("1614265330");

    #[test]
    fn the_published_vector_counts_and_nothing_that_differs_from_it() {
        let verifier = WebhookVerifier::new(SECOND).unwrap().and(FIRST).unwrap();
        let good = [ID, TIME, Some(SIGNATURE)];
        assert_eq!(verify(&verifier, good, BODY, SENT), Ok(()));
        assert_eq!(verify(&verifier, good, b"{}", SENT), Err(NoSignature));
        let other = [Some("msg_other"), TIME, Some(SIGNATURE)];
        assert_eq!(verify(&verifier, other, BODY, SENT), Err(NoSignature));
        let other = [ID, Some("1614265331"), Some(SIGNATURE)];
        assert_eq!(verify(&verifier, other, BODY, SENT), Err(NoSignature));
        let stranger = WebhookVerifier::new(SECOND).unwrap();
        assert_eq!(verify(&stranger, good, BODY, SENT), Err(NoSignature));
    }

    #[test]
    fn one_signature_of_several_is_enough() {
        let verifier = WebhookVerifier::new(FIRST).unwrap();
        let list = format!("v1,AAAA v9,what? nonsense {SIGNATURE} v1,");
        assert_eq!(verify(&verifier, [ID, TIME, Some(&list)], BODY, SENT), Ok(()));
        for list in ["", "v1", "v1,", SIGNATURE.trim_start_matches("v1,"), "v1,!!!!"] {
            assert_eq!(verify(&verifier, [ID, TIME, Some(list)], BODY, SENT), Err(NoSignature));
        }
        let as_another = SIGNATURE.replace("v1,", "v1a,");
        let headers = [ID, TIME, Some(&*as_another)];
        assert_eq!(verify(&verifier, headers, BODY, SENT), Err(NoSignature));
    }

    #[test]
    fn a_message_has_its_time() {
        let verifier = WebhookVerifier::new(FIRST).unwrap();
        let good = [ID, TIME, Some(SIGNATURE)];
        for (now, expected) in [
            (SENT + 300, Ok(())),
            (SENT + 301, Err(TooOld)),
            (SENT - 300, Ok(())),
            (SENT - 301, Err(TooNew)),
            (0, Err(TooNew)),
        ] {
            assert_eq!(verify(&verifier, good, BODY, now), expected, "{now}");
        }
        let strict = WebhookVerifier::new(FIRST).unwrap().tolerance(Duration::ZERO);
        assert_eq!(verify(&strict, good, BODY, SENT), Ok(()));
        assert_eq!(verify(&strict, good, BODY, SENT + 1), Err(TooOld));
        for time in ["", "+1614265330", " 1614265330", "1e9", "99999999999999999999", "soon"] {
            let headers = [ID, Some(time), Some(SIGNATURE)];
            assert_eq!(verify(&verifier, headers, BODY, SENT), Err(Timestamp), "{time:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let verifier = WebhookVerifier::new(FIRST).unwrap();
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        for (at, name) in names.into_iter().enumerate() {
            let mut headers = [ID, TIME, Some(SIGNATURE)];
            headers[at] = None;
            assert_eq!(verify(&verifier, headers, BODY, SENT), Err(Missing(name)));
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_telling_it() {
        for key in
            ["", "secret", "whsec_", "whsec_c2VjcmV0", "whsec_!!!!", "whsk_AAAA", "whpk_AAAA"]
        {
            let error = WebhookVerifier::new(key).unwrap_err().to_string();
            assert!(error.starts_with("key must") && !error.contains("secret"), "{error}");
        }
        let debug = format!("{:?}", WebhookVerifier::new(FIRST).unwrap());
        assert!(!debug.contains("MfKQ"), "{debug}");
    }

    #[test]
    fn what_is_signed_here_counts_here() {
        use crate::{message::Message, sign::Sign, standard_webhooks::StandardWebhooks};
        #[cfg(feature = "ed25519")]
        let pairs = {
            let private = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
            let public = BASE64.encode(private.verifying_key().to_bytes());
            let private = BASE64.encode(private.to_bytes());
            vec![
                (FIRST.to_owned(), FIRST.to_owned()),
                (format!("whsk_{private}"), format!("whpk_{public}")),
            ]
        };
        #[cfg(not(feature = "ed25519"))]
        let pairs = vec![(FIRST.to_owned(), FIRST.to_owned())];
        for (ours, theirs) in pairs {
            let signer = StandardWebhooks::new(&ours).unwrap();
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(SENT);
            let message = Message::new("text/plain", "body").with_id("a");
            let headers = signer.sign(message, now).unwrap().headers;
            let headers = [0, 1, 2].map(|at| Some(&*headers[at].1));
            let verifier = WebhookVerifier::new(&theirs).unwrap();
            assert_eq!(verify(&verifier, headers, b"body", SENT), Ok(()));
            assert_eq!(verify(&verifier, headers, b"b0dy", SENT), Err(NoSignature));
        }
    }
}
