#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod background;
mod builder;
mod client;
mod encode;
mod endpoint;
mod header;
mod sink;
mod stats;

pub use builder::Builder;
pub use client::{Client, ClientBuilder};
pub use encode::{Encode, Json, Keyed, Message};
pub use sink::HttpSink;
pub use stats::HttpStats;
