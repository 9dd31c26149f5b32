//! Tests of the provider role from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "tests"
)]

mod clients;
mod conformance;
mod crash;
mod files;
mod mailboxes;
mod replies;
mod statistics;
mod world;
