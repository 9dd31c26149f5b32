//! The relay core as its callers see it: real keys and documents, real packets, virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod batch;
mod books;
mod crash;
mod fixture;
mod gate;
mod hearing;
mod loops;
mod queue;
mod relay;
mod slow_disk;
