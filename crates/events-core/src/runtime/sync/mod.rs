//! The primitives under the concurrent parts, in one place so that a model checker can take over:
//! built with `--cfg loom`, they are [loom](https://docs.rs/loom)'s, which tries every order in
//! which threads may meet.
//!
//! For the crates of the family; not part of the interface, and may change at any time.

#[cfg(loom)]
mod modelled;

pub use std::sync::{Arc, atomic::Ordering};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
#[cfg(loom)]
pub(crate) use modelled::{Flag, LocalKey, thread, thread_local};
#[cfg(loom)]
pub use modelled::{Mutex, MutexGuard};

#[cfg(not(loom))]
pub use parking_lot::{Mutex, MutexGuard};
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, fence};
#[cfg(not(loom))]
pub(crate) use std::{sync::atomic::AtomicBool as Flag, thread, thread_local};
