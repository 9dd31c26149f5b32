//! The network's file.

use std::path::Path;

use shoal_topology::NetworkParameters;

use super::error::ConfigError;

/// No network file is larger: a thousand genesis members fit.
const MAX_BYTES: u64 = 1 << 20;

/// Reads and checks a file of network parameters.
///
/// # Errors
/// [`ConfigError::Network`] if it is not there or not valid, with what to do about it.
pub fn load_network(path: &Path) -> Result<NetworkParameters, ConfigError> {
    let fail = |message: String| ConfigError::Network {
        path: path.to_owned(),
        message,
    };
    let advice = "get it from who runs the network, or make one with `shoal network new`";
    let unread = |error: std::io::Error| fail(format!("can't be read ({error}): {advice}"));
    let size = std::fs::metadata(path).map_err(unread)?.len();
    if size > MAX_BYTES {
        return Err(fail(format!(
            "has {size} bytes; no network file is that large"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(unread)?;
    NetworkParameters::from_toml(&text).map_err(|error| fail(format!("is not valid: {error}")))
}
