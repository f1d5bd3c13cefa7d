//! Signatures of Standard Webhooks.

use base64::{Engine, prelude::BASE64_STANDARD};
use ed25519_dalek::SigningKey;
use events_core::Sink;
use events_http::{HttpSink, Json, StandardWebhooks};
use serde_json::{Value, json};

use crate::{
    as_json, node, python,
    receiver::{Receiver, answer},
};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// One event, signed, as it arrived.
fn sent(signer: StandardWebhooks) -> Value {
    let receiver = Receiver::always(answer(200, "", b""));
    let sink = HttpSink::builder(receiver.url())
        .format(Json)
        .idempotency_key(|_: &str| "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W")
        .sign(signer)
        .build()
        .unwrap();
    Sink::write(&sink, "é € 😀").unwrap();
    as_json(&receiver.next())
}

/// The same, to be verified with this key.
fn with(request: &Value, kind: &str, key: &str) -> Value {
    let mut request = request.clone();
    request[kind] = json!(key);
    request
}

/// What was tampered with, in every way.
fn tampered(request: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (header, value) in [
        ("webhook-id", "msg_other"),
        ("webhook-timestamp", "1700000000"),
        ("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("webhook-signature", "v1a,AAAA"),
    ] {
        let mut copy = request.clone();
        assert!(copy["headers"][header].is_string(), "{header}");
        copy["headers"][header] = json!(value);
        all.push(copy);
    }
    let mut copy = request.clone();
    copy["body"] = json!(BASE64_STANDARD.encode("\"é € 😃\""));
    all.push(copy);
    all
}

#[test]
#[ignore = "needs the programs that tests/peers/install installs"]
fn both_libraries_verify_what_is_signed_and_refuse_the_rest() {
    let one = sent(StandardWebhooks::new(OLD).unwrap());
    let both = sent(StandardWebhooks::new(NEW).unwrap().and(OLD).unwrap());
    let good = [with(&one, "secret", OLD), with(&both, "secret", OLD), with(&both, "secret", NEW)];
    let mut bad =
        vec![with(&one, "secret", NEW), with(&one, "secret", OTHER), with(&both, "secret", OTHER)];
    for request in &good {
        bad.extend(tampered(request));
    }
    for read in [python, node] {
        assert_eq!(read(&good), [true, true, true]);
        assert!(read(&bad).iter().all(|verified| *verified == false));
    }
}

#[test]
#[ignore = "needs the programs that tests/peers/install installs"]
fn a_private_keys_signature_is_verified_with_its_public_key() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let private = format!("whsk_{}", BASE64_STANDARD.encode(key.to_bytes()));
    let public = BASE64_STANDARD.encode(key.verifying_key().to_bytes());
    let other = SigningKey::from_bytes(&[8; 32]).verifying_key();
    let both = sent(StandardWebhooks::new(OLD).unwrap().and(&private).unwrap());

    let good = with(&both, "public", &public);
    let mut bad = tampered(&good);
    bad.push(with(&both, "public", &BASE64_STANDARD.encode(other.to_bytes())));
    assert_eq!(node(&[good]), [true]);
    assert!(node(&bad).iter().all(|verified| *verified == false));
    // Who knows the shared secret alone is not put off by the other signature.
    let shared = [with(&both, "secret", OLD)];
    assert_eq!((python(&shared), node(&shared)), (vec![json!(true)], vec![json!(true)]));
}
