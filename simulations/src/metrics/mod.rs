//! Metrics that adversaries and researchers read off a run.
//!
//! [`Judges`] observes a run for all metrics that a scenario asks for. Each metric has a page in
//! `docs/simulator/metrics/`: its definition, source, and what may be claimed of it for which
//! adversary.

pub mod blocking;
pub mod churn;
mod compromise;
pub mod disclosure;
mod draw;
mod droppers;
pub mod entropy;
pub mod epsilon;
pub mod fifo;
pub mod flow;
pub mod intersection;
mod judges;
mod matching;
mod n_minus_one;
pub mod observations;
mod order;
pub mod pairs;
mod provider;
mod rounds;
pub mod routes;
mod sheet;
mod sight;
mod tables;
mod traffic;

pub use draw::Trials;
pub use judges::{Judged, Judges, MetricError};
pub use shoal_stats::roc;
