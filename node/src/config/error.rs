//! What can be wrong with a configuration, and where.

use std::path::PathBuf;

use thiserror::Error;

use super::layers::Origins;
use super::read::ReadError;

/// What is wrong with a configuration. Every message says where to look.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there, or is none that is read.
    #[error("{path} {error}{advice}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it is not read.
        error: ReadError,
        /// Where it comes from, if it is not there.
        advice: &'static str,
    },
    /// The file is not TOML, or a value has the wrong type or makes no sense.
    #[error("{path}:{line}: {message}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A key that does not exist.
    #[error("{path}:{line}: unknown key `{key}`{}", nearest.as_ref().map_or_else(String::new, |n| format!("; did you mean `{n}`?")), path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key, with the tables it is in.
        key: String,
        /// The valid key that looks most like it.
        nearest: Option<String>,
    },
    /// A value from the environment or from a flag does not fit its key.
    #[error("{origin}: {message}")]
    Override {
        /// The variable or the flag.
        origin: String,
        /// What is wrong with it.
        message: String,
    },
    /// The network file can't be used.
    #[error("the network file {path} {message}", path = path.display())]
    Network {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// The file of a recovery can't be used.
    #[error("the recovery {path} {message}", path = path.display())]
    Recovery {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A value that parses and still can't be right.
    #[error("{}{key}: {message}", origin.as_ref().map_or_else(String::new, |origin| format!("{origin}: ")))]
    Invalid {
        /// The key.
        key: &'static str,
        /// Where its value came from: a line of the file, a variable, a flag. None for a default.
        origin: Option<String>,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// More than one value is refused; one on each line.
    #[error("{}", lines(.0))]
    Several(Vec<ConfigError>),
}

fn lines(errors: &[ConfigError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl ConfigError {
    pub(super) fn invalid(key: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid {
            key,
            origin: None,
            message: message.into(),
        }
    }

    /// With the places that the values came from.
    pub(super) fn located(self, origins: &Origins) -> Self {
        match self {
            Self::Invalid { key, message, .. } => Self::Invalid {
                key,
                origin: origins.of(key).map(str::to_owned),
                message,
            },
            Self::Several(errors) => {
                let errors = errors.into_iter();
                Self::Several(errors.map(|error| error.located(origins)).collect())
            }
            other => other,
        }
    }
}

/// Collects what is wrong while a configuration is checked, so that all is told at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<ConfigError>);

impl Problems {
    pub(super) fn push(&mut self, error: ConfigError) {
        self.0.push(error);
    }

    /// The value; none if it is refused, which is noted.
    pub(super) fn keep<T>(&mut self, checked: Result<T, ConfigError>) -> Option<T> {
        checked.map_err(|error| self.push(error)).ok()
    }

    /// Everything that was refused.
    pub(super) fn into_error(mut self) -> ConfigError {
        match self.0.pop() {
            Some(only) if self.0.is_empty() => only,
            last => ConfigError::Several(self.0.into_iter().chain(last).collect()),
        }
    }

    /// # Errors
    /// Everything that was refused, if anything was.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(self.into_error())
        }
    }
}
