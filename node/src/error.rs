//! How a command or a daemon ends when it does not do what it was asked to.

use std::process::ExitCode;

use thiserror::Error;

use crate::net::NetError;
use crate::state::StateError;

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
    /// Nobody reads standard output any more (`shoal … | head`): exit code 141, as of a program that
    /// SIGPIPE ends.
    #[error("nobody reads standard output any more")]
    Unread,
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
            Self::Unread => 141,
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
            Self::Unread => "unread",
        }
    }
}

impl From<StateError> for Failure {
    /// What exists already is in the way of what the user asked for; the rest fails by itself.
    fn from(error: StateError) -> Self {
        match error {
            StateError::Exists(_) => Self::usage(error),
            _ => Self::failed(error),
        }
    }
}

impl From<NetError> for Failure {
    fn from(error: NetError) -> Self {
        if error.is_mistake() {
            Self::usage(error)
        } else {
            Self::failed(error)
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(error: &Failure) -> Self {
        Self::from(error.code())
    }
}
