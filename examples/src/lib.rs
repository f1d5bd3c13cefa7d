//! Compiles the project's README as documentation tests; the examples lie beside this directory.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
