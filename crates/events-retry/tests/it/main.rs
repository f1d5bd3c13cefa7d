//! `Retry` with real strategies and `AdaptiveLimit`, on threads and in tasks.

mod adaptive_limit;
mod ends;
#[cfg(feature = "rate-limit")]
mod rate_limit;
mod seed;
mod seed_own;
mod support;
mod waits;
