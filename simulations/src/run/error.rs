//! Why a run has no result.

use thiserror::Error;

use crate::engine::EngineError;
use crate::memory::Available;
use crate::metrics::MetricError;
use crate::scenario::ScenarioError;
use crate::table::TableError;

/// Why a run has no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// It would not fit into memory; nothing was begun.
    #[error(
        "the run needs about {} MB of memory, perhaps a quarter more, and {} MB are {}: simulate fewer clients or targets at a time, \
         or a shorter measurement, or raise the limit (`shoal-sim check` says what needs how much)",
        needed / 1_000_000,
        available.bytes / 1_000_000,
        available.limit
    )]
    Memory {
        /// Bytes, estimated.
        needed: u64,
        /// What there is.
        available: Available,
    },
    /// The scenario was refused.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The engine refused the plan or could not go on.
    #[error("the simulation failed")]
    Engine(#[from] EngineError),
    /// A metric could not be computed.
    #[error("a metric could not be computed")]
    Metric(#[from] MetricError),
    /// A table could not be made or written.
    #[error("a table could not be made or written")]
    Table(#[from] TableError),
    /// A file could not be written.
    #[error("{path} could not be written")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The summary could not be put into words: a fault of the program.
    #[error("the summary could not be written as JSON")]
    Json(#[source] serde_json::Error),
}

impl RunError {
    /// Whether the input is at fault, and nothing was begun.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Memory { .. } | Self::Scenario(_))
    }
}
