//! `Retry` with real strategies, on threads and in tasks.

mod ends;
mod seed;
mod seed_own;
mod support;
mod waits;
