use std::{
    error::Error,
    fmt,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use events_core::ConfigError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{message::Message, sign::Sign};

/// Secrets are written with or without padding; signatures always with.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest key in bytes; a key of more is of no more use.
pub(crate) const LONGEST_KEY: usize = 64;

/// Signs as [Standard Webhooks](https://www.standardwebhooks.com) have it: in the headers
/// `webhook-id`, `webhook-timestamp` and `webhook-signature`.
///
/// The id is the message's, the same at each attempt: that of
/// [`Builder::idempotency_key`](crate::Builder::idempotency_key) or of a format that knows one, as
/// CloudEvents do. An event without an id, or with a full stop in it, is rejected. Time and
/// signature are new at each attempt.
///
/// To change keys, sign with the new and the old one until each receiver has the new: it takes
/// either.
///
/// Keys are wiped from memory when dropped, and are never shown. A receiver written in Rust has
/// [`WebhookVerifier`](crate::WebhookVerifier).
///
/// ```
/// use events_http::{HttpSink, StandardWebhooks};
///
/// let signer = StandardWebhooks::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?
///     .and("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
/// let sink = HttpSink::builder("http://example.com/hook")
///     .idempotency_key(|order: &u64| format!("msg_{order}"))
///     .sign(signer)
///     .build()?;
/// # Ok::<(), events_core::ConfigError>(())
/// ```
pub struct StandardWebhooks {
    keys: Vec<Key>,
}

/// The key of one scheme, which wipes itself from memory.
enum Key {
    /// `v1`, with the key mixed in already.
    Symmetric(Hmac<Sha256>),
    /// `v1a`.
    #[cfg(feature = "ed25519")]
    Asymmetric(Box<ed25519_dalek::SigningKey>),
}

impl StandardWebhooks {
    /// Signs with `key`.
    ///
    /// `whsec_` and the base64 of 24 to 64 bytes: a secret that the receiver has too. With the
    /// feature `ed25519`, `whsk_` and the base64 of a private key of 32 bytes, with or without its
    /// 32 bytes of public key: the receiver has the public one.
    ///
    /// # Errors
    /// It is not of that form. The error does not show it.
    pub fn new(key: &str) -> Result<Self, ConfigError> {
        Self { keys: Vec::new() }.and(key)
    }

    /// Signs with `key` too.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn and(mut self, key: &str) -> Result<Self, ConfigError> {
        self.keys.push(Key::parse(key).map_err(|problem| ConfigError::new("key", problem))?);
        Ok(self)
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
        if let Some(text) = key.strip_prefix("whsk_") {
            use ed25519_dalek::{KEYPAIR_LENGTH, SECRET_KEY_LENGTH, SigningKey};
            let length = decode(text)?;
            let key = match length {
                SECRET_KEY_LENGTH => SigningKey::try_from(&buffer[..length]),
                // Refuses a public key that does not go with the private one.
                KEYPAIR_LENGTH => buffer[..length]
                    .try_into()
                    .map_err(|_| ed25519_dalek::SignatureError::new())
                    .and_then(SigningKey::from_keypair_bytes),
                _ => return Err("must have 32 bytes, or 64 with the public key"),
            };
            return key
                .map(|key| Self::Asymmetric(Box::new(key)))
                .map_err(|_| "must have a public key that goes with the private one");
        }
        Err("must begin with whsec_, or with the feature `ed25519` with whsk_")
    }

    /// The signature of these bytes, side by side.
    fn sign(&self, parts: &[&[u8]]) -> String {
        match self {
            Self::Symmetric(keyed) => {
                let mac = parts.iter().fold(keyed.clone(), Mac::chain_update);
                format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
            }
            #[cfg(feature = "ed25519")]
            Self::Asymmetric(key) => {
                use ed25519_dalek::Signer;
                format!("v1a,{}", BASE64.encode(key.sign(&parts.concat()).to_bytes()))
            }
        }
    }
}

impl Sign for StandardWebhooks {
    fn sign(
        &self,
        message: Message,
        now: SystemTime,
    ) -> Result<Message, Box<dyn Error + Send + Sync>> {
        let id = message.id().unwrap_or_default().to_owned();
        if id.is_empty() {
            return Err("the event has no id, which its signature must cover".into());
        }
        if id.contains('.') {
            return Err("the event's id has a full stop, which cannot be signed".into());
        }
        let seconds =
            now.duration_since(SystemTime::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs);
        let head = format!("{id}.{seconds}.");
        let parts = [head.as_bytes(), message.body()];
        let signatures: Vec<_> = self.keys.iter().map(|key| key.sign(&parts)).collect();
        Ok(message
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signatures.join(" ")))
    }
}

/// How many keys there are, and nothing of them.
impl fmt::Debug for StandardWebhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandardWebhooks").field("keys", &self.keys.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn signed(
        signer: &StandardWebhooks,
        id: &str,
        seconds: u64,
        body: &'static str,
    ) -> Vec<String> {
        let message = Message::new("application/json", body).with_id(id);
        let now = SystemTime::UNIX_EPOCH + Duration::new(seconds, 999_999_999);
        let headers = signer.sign(message, now).unwrap().headers;
        let names: Vec<_> = headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["webhook-id", "webhook-timestamp", "webhook-signature"]);
        headers.into_iter().map(|(_, value)| value).collect()
    }

    #[test]
    fn the_published_vectors_match() {
        let vectors = [
            (
                FIRST,
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (
                SECOND,
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
        ];
        for (key, id, seconds, body, expected) in vectors {
            let signer = StandardWebhooks::new(key).unwrap();
            let expected = [id, &seconds.to_string(), expected];
            assert_eq!(signed(&signer, id, seconds, body), expected);
        }
    }

    #[test]
    fn several_keys_sign_side_by_side() {
        let both = StandardWebhooks::new(SECOND).unwrap().and(FIRST).unwrap();
        let one_by_one = [SECOND, FIRST].map(|key| {
            let signer = StandardWebhooks::new(key).unwrap();
            signed(&signer, "a", 7, "body").pop().unwrap()
        });
        assert_eq!(signed(&both, "a", 7, "body")[2], one_by_one.join(" "));
        assert_ne!(signed(&both, "a", 7, "body"), signed(&both, "a", 8, "body"));
    }

    #[test]
    fn an_event_that_cannot_be_named_is_not_signed() {
        let signer = StandardWebhooks::new(FIRST).unwrap();
        let message = Message::new("text/plain", "secret");
        for message in [message.clone(), message.clone().with_id(""), message.with_id("a.secret")] {
            let error = signer.sign(message, SystemTime::UNIX_EPOCH).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_telling_it() {
        let long = format!("whsec_{}", BASE64.encode([7; 65]));
        let longer = format!("whsec_{}", BASE64.encode([7; 1000]));
        let short = format!("whsec_{}", BASE64.encode([7; 23]));
        let raw = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for key in
            [&*long, &longer, &short, raw, "whsec_", "whsec_!!!!", "whpk_AAAA", "whsk_AAAA", ""]
        {
            let error = StandardWebhooks::new(key).unwrap_err().to_string();
            assert!(error.starts_with("key must"), "{error}");
            assert!(key.len() < 6 || !error.contains(&key[5..]), "{error}");
        }
        let unpadded = format!("whsec_{}", BASE64.encode([7; 25]).trim_end_matches('='));
        let signer = StandardWebhooks::new(&unpadded).unwrap();
        assert_eq!(format!("{signer:?}"), "StandardWebhooks { keys: 1 }");
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn a_private_key_signs_what_its_public_key_verifies() {
        use ed25519_dalek::{Signature, SigningKey, Verifier};
        // The first test of RFC 8032, section 7.1.
        let private = SigningKey::from_bytes(&[
            0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec,
            0x2c, 0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03,
            0x1c, 0xae, 0x7f, 0x60,
        ]);
        let short = format!("whsk_{}", BASE64.encode(private.to_bytes()));
        let long = format!("whsk_{}", BASE64.encode(private.to_keypair_bytes()));
        let mut told = Vec::new();
        for key in [&short, &long] {
            let signer = StandardWebhooks::new(key).unwrap();
            told.push(signed(&signer, "a", 7, "body").pop().unwrap());
        }
        assert_eq!(told[0], told[1]);
        let signature = BASE64.decode(told[0].strip_prefix("v1a,").unwrap()).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        private.verifying_key().verify(b"a.7.body", &signature).unwrap();
        private.verifying_key().verify(b"a.8.body", &signature).unwrap_err();

        let mut mixed = private.to_keypair_bytes();
        mixed[63] ^= 1;
        StandardWebhooks::new(&format!("whsk_{}", BASE64.encode(mixed))).unwrap_err();

        let both = StandardWebhooks::new(FIRST).unwrap().and(&short).unwrap();
        let signature = signed(&both, "a", 7, "body").pop().unwrap();
        assert!(signature.starts_with("v1,") && signature.ends_with(&told[0]), "{signature}");
    }
}
