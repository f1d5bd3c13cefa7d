//! The primitives under the concurrent parts, in one place so that a model checker can take over.

pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

pub(crate) use parking_lot::Mutex;
