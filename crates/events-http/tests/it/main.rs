//! The sink against receivers on loopback, kind and hostile ones.

mod answers;
mod behaviour;
mod closing;
mod contract;
mod formats;
mod hostile;
mod pipelines;
mod receiver;
mod requests;
mod signatures;
mod transport;
mod worlds;
