//! `shoal client address`.

use shoal_client::Client as Core;
use shoal_node::config::{ClientConfig, ClientFlags, load_network};
use shoal_node::control::protocol::OwnAddress;
use shoal_node::runtime::Clock;
use shoal_node::state::load_client_keys;
use shoal_node::{Failure, seeded};

use crate::cli::args::Place;
use crate::cli::launch::{directory, environment};
use crate::cli::output;

/// The address follows from the keys and the configuration: no daemon has to run.
pub(super) fn run(place: &Place, json: bool) -> Result<(), Failure> {
    let config = ClientConfig::load(&flags_of(place), &environment()?).map_err(Failure::usage)?;
    let own = own_address(&config)?;
    output::show(json, &own, &own.address)
}

/// The address that this configuration and the keys beside it give.
pub(super) fn own_address(config: &ClientConfig) -> Result<OwnAddress, Failure> {
    let params = load_network(&config.network).map_err(Failure::usage)?;
    let keys = load_client_keys(&config.dir).map_err(Failure::usage)?;
    let key = keys.public().to_string();
    let now = Clock::start().now();
    let core = Core::new(
        params.into(),
        config.core.clone(),
        keys,
        seeded()?,
        &[],
        now,
    );
    let core = core.map_err(Failure::usage)?;
    Ok(OwnAddress {
        address: core.address(now).to_string(),
        key,
        mailbox: config.core.mailbox_provider.to_string(),
    })
}

/// Where the client is, before other flags.
pub(super) fn flags_of(place: &Place) -> ClientFlags {
    ClientFlags {
        dir: directory(place),
        config: place.config.clone(),
        overrides: Vec::new(),
    }
}
