//! Whole networks in virtual time.
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
mod delivery;
mod directory;
mod entry;
mod faults;
mod latency;
mod link;
mod metrics;
mod network;
mod network_and_run;
mod offline;
mod plot;
mod reproduce;
mod restarts;
mod run;
mod scenario;
mod support;
mod sweep;
mod table;
