#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod answer;
mod background;
mod builder;
mod client;
mod client_builder;
pub mod cloudevents;
mod connections;
mod encode;
mod encoder;
mod endpoint;
#[cfg(feature = "gzip")]
mod gzip;
mod handshake;
mod header;
mod json;
mod keyed;
mod message;
mod proxy;
mod refusal;
pub mod registry;
mod sign;
mod sink;
#[cfg(feature = "standard-webhooks")]
mod standard_webhooks;
mod stats;
mod status_policy;
#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
mod tls;
mod url;
#[cfg(feature = "standard-webhooks")]
mod webhook_verifier;

pub use address::AddressPolicy;
pub use builder::Builder;
pub use client::Client;
pub use client_builder::ClientBuilder;
pub use encode::{Encode, EncodeFn, encode_fn};
pub use encoder::{Encoded, Encoder};
#[cfg(feature = "gzip")]
#[cfg_attr(docsrs, doc(cfg(feature = "gzip")))]
pub use gzip::Gzip;
pub use json::{Json, NdJson};
pub use keyed::Keyed;
pub use message::Message;
pub use refusal::{Refusal, is_about_content};
pub use sign::Sign;
pub use sink::HttpSink;
#[cfg(feature = "standard-webhooks")]
#[cfg_attr(docsrs, doc(cfg(feature = "standard-webhooks")))]
pub use standard_webhooks::StandardWebhooks;
pub use stats::HttpStats;
pub use status_policy::{Answer, StatusPolicy};
#[cfg(feature = "standard-webhooks")]
#[cfg_attr(docsrs, doc(cfg(feature = "standard-webhooks")))]
pub use webhook_verifier::{VerifyError, WebhookVerifier};
