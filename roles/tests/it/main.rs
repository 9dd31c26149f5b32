//! The compositions, each alone before a scripted world.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod clock;
mod health;
mod node;
mod session;
mod succession;
mod trust;
mod world;
