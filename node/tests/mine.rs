#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]
#[path = "it/cli.rs"]
mod cli;
#[path = "it/cli_control.rs"]
mod cli_control;
#[path = "it/config.rs"]
mod config;
#[path = "it/state.rs"]
mod state;
