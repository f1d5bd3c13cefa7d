//! The behaviour of the broadcaster, by what it is for.

mod closing;
mod direct;
#[cfg(feature = "tokio")]
mod groups;
#[cfg(feature = "tokio")]
mod panics;
mod promise;
mod spawned;
mod subscription;
mod support;
