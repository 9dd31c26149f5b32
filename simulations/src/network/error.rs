//! What can be wrong with a scenario.

use shoal_harness::SimulationError;
use thiserror::Error;

/// Why a scenario was not simulated.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file is not TOML, has a key that does not exist, or lacks one.
    #[error("{0}")]
    Toml(String),
    /// A value is out of its range.
    #[error("{key} = {value} is out of range: allowed is {allowed}; {hint}")]
    Value {
        /// The key, with the tables that it is in.
        key: String,
        /// What was given.
        value: String,
        /// The range.
        allowed: String,
        /// What to do.
        hint: &'static str,
    },
    /// The network could not be built.
    #[error("the network can't be built")]
    Build(#[from] SimulationError),
}
