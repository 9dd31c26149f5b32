//! The network's file.

use std::path::Path;

use shoal_topology::NetworkParameters;

use super::error::ConfigError;
use super::read::{ReadError, read_text};

/// Reads and checks a file of network parameters.
///
/// # Errors
/// [`ConfigError::Network`] if it is not there, not valid, or others may change it, with what to do
/// about it.
pub fn load_network(path: &Path) -> Result<NetworkParameters, ConfigError> {
    let fail = |message: String| ConfigError::Network {
        path: path.to_owned(),
        message,
    };
    let advice = "get it from who runs the network, or make one with `shoal network new`";
    let text = read_text(path).map_err(|error| match error {
        ReadError::Io(_) => fail(format!("{error}: {advice}")),
        _ => fail(error.to_string()),
    })?;
    NetworkParameters::from_toml(&text).map_err(|error| fail(format!("is not valid: {error}")))
}
