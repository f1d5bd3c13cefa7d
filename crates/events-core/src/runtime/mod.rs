//! Time, parking and the primitives that threads share: what everything above stands on.

pub mod clock;
pub mod park;
pub mod sync;
