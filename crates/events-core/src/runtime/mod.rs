//! Time, parking and the primitives that threads share, and how to call what is not ours: what
//! everything above stands on.

pub(crate) mod calls;
pub(crate) mod catch;
pub mod clock;
pub(crate) mod dispose;
pub mod park;
pub mod sync;
pub(crate) mod trace;
