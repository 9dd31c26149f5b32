//! The engine that runs every scenario: a [`Plan`] goes in, an [`Observer`] sees what happens, an
//! [`Outcome`] comes out.

pub mod bench;
mod buffers;
mod calendar;
mod clients;
mod error;
pub mod heap;
mod histogram;
mod law;
pub mod mass;
mod observer;
mod outcome;
mod plan;
pub mod recording;
mod router;
mod run;
mod slab;
mod stage;
mod tally;
#[cfg(test)]
mod tests;
mod validate;

pub use error::EngineError;
pub use histogram::Histogram;
pub use observer::{Kind, Loss, NONE, Observer, Packet};
pub use outcome::{Bin, Counters, Flow, Occupancy, Outcome};
pub use plan::{
    Churn, Class, Delay, Dropper, Link, Links, Network, Phases, Plan, Receivers, Routes, Server,
    Targets, TraceMessage, Workload,
};
pub use run::run;
