//! The crate from outside.

mod contract;
