//! Clients in virtual time against a small network whose nodes are played by the test: packets
//! are unwrapped with the nodes' real secrets, hop by hop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod acceptance;
mod contacts;
mod copies;
mod delivery;
mod drops;
mod epochs;
mod long;
mod moving;
mod order;
mod quiet;
mod restart;
mod restored;
mod sessions;
mod shares;
mod states;
mod timing;
mod tokens;
mod world;
