//! Why a figure can't be drawn.

use crate::table::TableError;

/// Why a figure can't be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The table can't be read, or lacks a column.
    #[error(transparent)]
    Table(#[from] TableError),
    /// No point is left to show.
    #[error("there is nothing to draw: {0}")]
    Nothing(String),
    /// More series than can be told apart.
    #[error("{found} series can't be told apart; at most {most} are drawn: choose another group")]
    TooManySeries {
        /// How many there are.
        found: usize,
        /// How many are drawn at most.
        most: usize,
    },
    /// The drawing itself failed.
    #[error("the figure can't be drawn: {0}")]
    Drawing(String),
}
