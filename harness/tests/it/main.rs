//! Whole networks in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "tests"
)]

mod copies;
mod delivery;
mod directory;
mod entry;
mod faults;
mod half_a_layer;
mod healing;
mod health;
mod latency;
mod link;
mod link_hours;
mod link_judge;
mod link_lives;
mod link_windows;
mod long;
mod offline;
mod restarts;
mod sessions;
mod support;
