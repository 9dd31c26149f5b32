//! How a command or a daemon ends when it does not do what it was asked to.

use std::process::ExitCode;

use thiserror::Error;

/// Why a command ended without doing what it was asked to. Each kind has an exit code of its own,
/// so that scripts can tell them apart.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Failure {
    /// Something failed while it ran: exit code 1.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// The command line, the environment or a file that the user wrote is wrong: exit code 2.
    #[error("{0:#}")]
    Usage(anyhow::Error),
    /// Nobody answered, or not in time: exit code 3.
    #[error("{0:#}")]
    Unreachable(anyhow::Error),
    /// A signal asked us to stop before the work was done: exit code 130.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// A failure while running.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self::Failed(error.into())
    }

    /// A mistake in what the user wrote.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// Somebody who did not answer.
    pub fn unreachable(error: impl Into<anyhow::Error>) -> Self {
        Self::Unreachable(error.into())
    }

    /// The exit code that the help text promises.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Interrupted => 130,
        }
    }

    /// What `--json` calls this kind of error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::Usage(_) => "usage",
            Self::Unreachable(_) => "unreachable",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(error: &Failure) -> Self {
        Self::from(error.code())
    }
}
