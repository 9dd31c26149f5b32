//! The network's file.

use std::path::Path;

use shoal_topology::{NetworkFile, NetworkParameters, ParameterError, Recovery, RecoveryFile};

use super::error::ConfigError;
use super::read::{ReadError, read_text};

/// Reads a file of network parameters, whatever is wrong with what it says.
///
/// # Errors
/// [`ConfigError::Network`] if it is not there, is no text, or others may change it, with what to do
/// about it.
pub fn read_network(path: &Path) -> Result<NetworkFile, ConfigError> {
    let advice = "get it from who runs the network, or make one with `shoal network new`";
    let text = read_text(path).map_err(|error| match error {
        ReadError::Io(_) => refused(path, format!("{error}: {advice}")),
        _ => refused(path, error.to_string()),
    })?;
    Ok(NetworkFile::read(&text))
}

/// Reads a recovery of a network, signed by as many as it is.
///
/// # Errors
/// [`ConfigError::Recovery`]: why it is none of this network, and what to do about it.
pub fn read_recovery(path: &Path, params: &NetworkParameters) -> Result<RecoveryFile, ConfigError> {
    let refused = |message| ConfigError::Recovery {
        path: path.to_owned(),
        message,
    };
    let text = read_text(path).map_err(|error| refused(error.to_string()))?;
    let read = RecoveryFile::read(&text, &params.chain());
    read.map_err(|error| refused(format!("does not count: {error}")))
}

/// A network's file with one more recovery at its end, else as it is: its comments stay.
///
/// # Errors
/// Those of [`load_network`], of the file as it would be.
pub fn with_recovery(path: &Path, recovery: &Recovery) -> Result<String, ConfigError> {
    let text = read_text(path).map_err(|error| refused(path, error.to_string()))?;
    let text = format!(
        "{}\n\n[[recoveries]]\n{}",
        text.trim_end(),
        recovery.to_toml()
    );
    let checked = NetworkFile::read(&text).startable();
    checked.map_err(|error| refused(path, format!("would not be valid with it: {error}")))?;
    Ok(text)
}

/// Reads and checks a file of network parameters.
///
/// # Errors
/// Those of [`read_network`], and everything for which no network can run with it.
pub fn load_network(path: &Path) -> Result<NetworkParameters, ConfigError> {
    let checked = read_network(path)?.startable();
    checked.map_err(|error| {
        let several = matches!(error, ParameterError::Several(_));
        let between = if several { "\n" } else { " " };
        refused(path, format!("is not valid:{between}{error}"))
    })
}

fn refused(path: &Path, message: String) -> ConfigError {
    ConfigError::Network {
        path: path.to_owned(),
        message,
    }
}
