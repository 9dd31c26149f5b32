//! Scenarios, figures and advice, and the network that they are held against.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "tests"
)]

mod adversaries;
mod advise;
mod metrics;
mod network;
mod network_and_run;
mod plot;
mod reproduce;
mod run;
mod scenario;
mod sweep;
mod table;
mod terminal;
