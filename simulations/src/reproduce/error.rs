//! Why a reproduction could not be made.

use std::path::PathBuf;

use crate::engine::EngineError;
use crate::plot::PlotError;
use crate::table::TableError;

/// An error of a reproduction. That a point does not hold is none: see
/// [`Report::holds`](super::Report::holds).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReproduceError {
    /// There is no reproduction of this name.
    #[error("no reproduction is called {name}; there are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A run failed.
    #[error("the runs of {job} failed")]
    Engine {
        /// Which runs.
        job: String,
        /// Why.
        #[source]
        source: EngineError,
    },
    /// A target's probabilities do not add up to 1: the run was too short for it.
    #[error("a target of {job} kept {residual} of its probability to the end of the run")]
    Residual {
        /// Which runs.
        job: String,
        /// What had not come out.
        residual: f64,
    },
    /// A message that should have been a target was not, which biases the choice of the others.
    #[error("message {message} of {job} found no place among the targets")]
    PassedOver {
        /// Which runs.
        job: String,
        /// Its index.
        message: u32,
    },
    /// A run had no target.
    #[error("a run of {job} had nothing to measure")]
    Nothing {
        /// Which runs.
        job: String,
    },
    /// A table of the results could not be made or written.
    #[error("the table of {name} could not be written")]
    Table {
        /// The reproduction.
        name: String,
        /// Why.
        #[source]
        source: TableError,
    },
    /// The figure could not be drawn.
    #[error("the figure of {name} could not be drawn")]
    Figure {
        /// The reproduction.
        name: String,
        /// Why.
        #[source]
        source: PlotError,
    },
    /// A file of the results could not be written.
    #[error("{} could not be written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It was told to stop.
    #[error("stopped before the end")]
    Stopped,
}
