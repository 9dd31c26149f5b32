//! What can go wrong with a sweep.

use std::path::{Path, PathBuf};

use crate::run::RunError;
use crate::scenario::ScenarioError;
use crate::table::TableError;

/// Why a sweep was refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The sweep file is not TOML, or has keys that are not a sweep's.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The sweep file.
        path: PathBuf,
        /// What the parser says, with the line.
        message: String,
    },
    /// A value of the sweep file is impossible.
    #[error("{key}: {value} {problem}; {hint}")]
    Invalid {
        /// The key in the sweep file.
        key: String,
        /// What is there.
        value: String,
        /// What is wrong, or what is allowed.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// The scenario that all points start from is refused.
    #[error("the sweep's scenario")]
    Base(#[source] ScenarioError),
    /// A point makes no valid scenario.
    #[error("point {point} ({settings})")]
    Point {
        /// The point's number, from 0 as in the tables.
        point: usize,
        /// The keys and values of the point.
        settings: String,
        /// What is wrong with them.
        #[source]
        source: ScenarioError,
    },
    /// A run of a point would not fit into memory; nothing was begun.
    #[error("point {point} ({settings})")]
    Memory {
        /// The point's number, from 0.
        point: usize,
        /// The keys and values of the point.
        settings: String,
        /// How much is missing.
        #[source]
        source: RunError,
    },
    /// A run failed.
    #[error("point {point} ({settings}), repetition {repetition}")]
    Run {
        /// The point's number, from 0.
        point: usize,
        /// The keys and values of the point.
        settings: String,
        /// The repetition, from 0.
        repetition: u32,
        /// What failed.
        #[source]
        source: RunError,
    },
    /// Whoever watches wanted the work to stop; what was finished is kept.
    #[error("stopped before the end; the same command does what is missing")]
    Stopped,
    /// A file or folder could not be read or written.
    #[error("{action} {}", path.display())]
    Files {
        /// What was attempted, as "cannot write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A table could not be made or written.
    #[error("cannot write the table {name}")]
    Table {
        /// The table's name.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: TableError,
    },
    /// A folder that is to be merged holds no sweep.
    #[error("{}: {problem}", path.display())]
    NotASweep {
        /// The folder or its plan.
        path: PathBuf,
        /// Why it is none.
        problem: String,
    },
    /// Folders that are to be merged come from different sweeps.
    #[error("{} and {} cannot be merged: {problem}", first.display(), second.display())]
    Disagree {
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What differs.
        problem: String,
    },
    /// Runs are missing.
    #[error("{count} of {total} runs are missing: {list}")]
    Missing {
        /// How many.
        count: usize,
        /// Of how many.
        total: usize,
        /// The first of them by name.
        list: String,
    },
}

impl SweepError {
    /// Whether the input is to blame (exit code 2) rather than the run (1).
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Syntax { .. }
                | Self::Invalid { .. }
                | Self::Base(_)
                | Self::Point { .. }
                | Self::Memory { .. }
        )
    }

    /// The same with a hint.
    pub(super) fn hint(mut self, text: &str) -> Self {
        if let Self::Invalid { hint, .. } = &mut self {
            text.clone_into(hint);
        }
        self
    }
}

/// A value that is refused; to be completed by [`SweepError::hint`].
pub(super) fn invalid(
    key: &str,
    value: impl Into<String>,
    problem: impl Into<String>,
) -> SweepError {
    SweepError::Invalid {
        key: key.to_owned(),
        value: value.into(),
        problem: problem.into(),
        hint: String::new(),
    }
}

/// Turns an error of the file system into ours.
pub(super) fn files<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(std::io::Error) -> SweepError + 'a {
    move |source| SweepError::Files {
        action,
        path: path.to_owned(),
        source,
    }
}
