//! The sink against receivers on loopback, kind and hostile ones.

mod ages;
mod answers;
mod behaviour;
mod closing;
mod contract;
mod formats;
mod hostile;
mod large;
mod pipelines;
mod receiver;
mod requests;
mod signatures;
#[cfg(feature = "rustls")]
mod tls;
mod transport;
mod worlds;
