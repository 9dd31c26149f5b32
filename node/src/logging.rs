//! Structured logs on standard error, as text or as JSON.
//!
//! What is never logged, at any level: ids and addresses of peers and clients, handles, drop ids,
//! message ids, texts, keys. Libraries do not keep to that (libp2p logs peers and their addresses),
//! so only events of Shoal's own crates are written.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// The log that was started, whose level can be changed.
#[derive(Clone, Debug)]
pub struct Log(reload::Handle<Targets, Registry>);

impl Log {
    /// Writes from now on what this level asks for.
    ///
    /// # Errors
    /// The log is gone.
    pub fn set_level(&self, level: LogLevel) -> Result<(), reload::Error> {
        self.0.reload(filter(level))
    }
}

/// Starts logging for the whole process.
///
/// # Errors
/// If something else logs already.
pub fn init(config: &LogConfig) -> Result<Log, TryInitError> {
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let layer = match config.format {
        LogFormat::Text => fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(colour)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter(config.level));
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init()?;
    Ok(Log(handle))
}

/// Only what Shoal's crates say: their targets start with `shoal`.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::OFF)
        .with_target("shoal", level)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_stay_silent() {
        let filter = filter(LogLevel::Trace);
        assert!(filter.would_enable("shoal_node::net", &Level::TRACE));
        for target in ["libp2p_swarm", "quinn_proto::connection", "hyper", "rustls"] {
            assert!(!filter.would_enable(target, &Level::ERROR), "{target}");
        }
    }

    #[test]
    fn levels_are_kept() {
        assert!(filter(LogLevel::Info).would_enable("shoal_node", &Level::INFO));
        assert!(!filter(LogLevel::Info).would_enable("shoal_node", &Level::DEBUG));
        assert!(!filter(LogLevel::Off).would_enable("shoal_node", &Level::ERROR));
    }
}
