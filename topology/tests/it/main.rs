#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "tests"
)]
//! Tests of the crate as a whole, in one binary.

mod addresses;
mod agreement;
mod attacks;
mod codecs;
mod directory;
mod documents;
mod families;
mod harness;
mod jobs;
mod large;
mod liars;
mod mesh;
mod places;
mod seats;
mod statistics;
mod words;
