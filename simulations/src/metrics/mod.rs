//! Metrics that adversaries and researchers read off a run.
//!
//! Each metric has a page in `docs/simulator/metrics/`: its definition, source, and what may be
//! claimed of it for which adversary.

pub mod blocking;
pub mod churn;
pub mod disclosure;
mod draw;
pub mod fifo;
pub mod flow;
pub mod pairs;
pub mod roc;
pub mod routes;

pub use draw::Trials;
