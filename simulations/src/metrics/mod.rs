//! Metrics that adversaries and researchers read off a run.
//!
//! [`Judges`] observes a run for all metrics that a scenario asks for. Each metric has a page in
//! `docs/simulator/metrics/`: its definition, source, and what may be claimed of it for which
//! adversary.

pub mod blocking;
pub mod churn;
pub mod disclosure;
mod draw;
pub mod entropy;
pub mod epsilon;
pub mod fifo;
pub mod flow;
mod judges;
pub mod pairs;
pub mod roc;
pub mod routes;
mod sheet;
mod traffic;

pub use draw::Trials;
pub use judges::{Judged, Judges, MetricError};
