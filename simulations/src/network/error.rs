//! Why a scenario was not simulated.

use shoal_harness::SimulationError;
use thiserror::Error;

use crate::scenario::ScenarioError;

/// Why a scenario was not simulated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file is not TOML, has a key that does not exist, or lacks one.
    #[error("{0}; shoal-sim network --new shows every key")]
    Toml(String),
    /// Values are out of their ranges, or contradict each other: all of them.
    #[error("{0}")]
    Values(#[source] ScenarioError),
    /// The network could not be built.
    #[error("the network can't be built")]
    Build(#[from] SimulationError),
}
