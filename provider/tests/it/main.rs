//! Tests of the provider role from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "tests"
)]

mod admission;
mod agreement;
mod checks;
mod clients;
mod clock_steps;
mod conformance;
mod copies;
mod counters;
mod crash;
mod engines;
mod files;
mod hours;
mod inventory;
mod issuing;
mod mailboxes;
mod offline;
mod operations;
mod places;
#[cfg(feature = "postgres")]
mod postgres;
mod quotas;
mod replies;
mod sealed;
mod statistics;
mod tokens;
mod world;
