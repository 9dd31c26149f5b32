//! A proposal as the parameters that nodes read.

use std::collections::BTreeMap;

use shoal_proto::Span;
use shoal_topology::NetworkParameters;

use super::{AdviseError, Candidate};

/// The parameters of a network like this. Name, start, epoch, loops of the nodes and first members
/// are those of [`NetworkParameters::example`], for the operator to fill in; its profiles are
/// replaced by one, because users of one profile hide among each other. Epochs last at least 100
/// mean delays. How wide layers are is decided by the nodes that join.
///
/// # Errors
/// When the network has more than three layers, or a value is out of the parameters' range.
pub fn network_parameters(network: &Candidate) -> Result<NetworkParameters, AdviseError> {
    let example = NetworkParameters::example();
    let layers = u8::try_from(network.layers).unwrap_or(u8::MAX);
    if layers > 3 {
        return Err(AdviseError::Parameters(format!(
            "it has {} layers, and a network takes 1 to 3; ask again with --max-layers 3",
            network.layers
        )));
    }
    let mean_delay = Span::from_micros(micros(network.mean_delay));
    let parameters = NetworkParameters {
        layers,
        mean_delay,
        epoch: example.epoch.max(mean_delay.scale(100, 1)),
        profiles: BTreeMap::from([("default".to_owned(), network.rates)]),
        ..example
    };
    parameters
        .validate()
        .map_err(|error| AdviseError::Parameters(error.to_string()))?;
    Ok(parameters)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean delay is at most ten seconds"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::advise::{Request, screen};

    #[test]
    fn what_is_written_is_read_again() {
        let request = Request {
            max_layers: 3,
            ..Request::new(1000, 5.0, 30_000.0, 0.2)
        };
        let network = screen(&request).first().cloned().unwrap();
        let parameters = network_parameters(&network).unwrap();
        let read = NetworkParameters::from_toml(&parameters.to_toml()).unwrap();
        assert_eq!(read, parameters);
        assert_eq!(u32::from(read.layers), network.layers);
        let off = read.mean_delay.as_secs_f64() - network.mean_delay;
        assert!(off.abs() < 1e-6, "{off}");

        let four = Candidate {
            layers: 4,
            ..network
        };
        let refused = network_parameters(&four);
        assert!(matches!(refused, Err(AdviseError::Parameters(_))));
    }
}
