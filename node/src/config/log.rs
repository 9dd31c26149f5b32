//! What is logged, and how.

use serde::{Deserialize, Serialize};

/// What is logged, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least important level that is written.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// Levels, from nothing to everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What keeps the process from doing its work.
    Error,
    /// What an operator should look at.
    Warn,
    /// What happens, a few lines an hour.
    #[default]
    Info,
    /// What one needs to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name in a file and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
