//! `shoal client address`.

use shoal_client::Client as Core;
use shoal_node::config::{ClientConfig, ClientFlags, load_network};
use shoal_node::control::protocol::{OwnAddress, Request, Response};
use shoal_node::control::unexpected;
use shoal_node::runtime::Clock;
use shoal_node::state::{ClientDb, StateDir, load_client_keys};
use shoal_node::{Exit, Failure, seeded};

use super::ask::{ask_once, failed};
use crate::cli::args::{ClientAddress, Place};
use crate::cli::launch::{directory, environment};
use crate::cli::output;

/// Asks the daemon, or reads its database if none runs.
pub(super) async fn run(args: &ClientAddress, json: bool) -> Result<(), Failure> {
    let (place, timeout) = (&args.place, args.timeout.timeout);
    if args.renew {
        match ask_once(place, timeout, Request::RenewAddress).await? {
            Response::Done => {}
            other => return Err(failed(unexpected(&other))),
        }
        output::note(
            "the daemon opens other mailboxes; once they are open, in one to six hours of a network whose places \
             live a month, this command prints the new address. The one below goes on for the network's time to \
             live, and is refused then",
        );
    }
    let config = ClientConfig::load(&flags_of(place), &environment()?).map_err(Failure::usage)?;
    let own = match ask_once(place, timeout, Request::Address).await {
        Ok(Response::Address(own)) => own,
        Ok(other) => return Err(failed(unexpected(&other))),
        Err(failure) if failure.exit() == Exit::Unreachable => on_disk(&config)?,
        Err(failure) => return Err(failure),
    };
    let Some(address) = own.address.clone() else {
        return Err(Failure::unreachable(anyhow::anyhow!(
            "this client has no address yet: its mailboxes are made when it is online for the first time; start \
             `shoal daemon --dir {}`, and wait for it with `shoal client wait --for open`",
            config.dir.display()
        )));
    };
    if !own.open {
        output::note(
            "no mailbox has confirmed the address yet: what is sent to it is refused, and tried again, until the \
             daemon has been online for some seconds",
        );
    }
    output::show(json, &own, &address)
}

/// The address that the rows on the disk give.
fn on_disk(config: &ClientConfig) -> Result<OwnAddress, Failure> {
    let params = load_network(&config.network).map_err(Failure::usage)?;
    let keys = load_client_keys(&config.dir).map_err(Failure::usage)?;
    let dir = StateDir::open(&config.dir)?;
    let rows = ClientDb::open(dir.path())?.load()?;
    let (core, now) = (config.core.clone(), Clock::start().now());
    let core = Core::new(params.into(), core, keys, seeded()?, &rows, now);
    let core = core.map_err(Failure::usage)?;
    // Mailboxes that were made just now are on no disk: nobody would keep their keys.
    let address = core.address().filter(|_| core.keeps_address());
    Ok(OwnAddress {
        open: address.is_some() && core.is_open(),
        address: address.map(|address| address.to_string()),
        key: core.public_key().to_string(),
        mailboxes: core
            .mailbox_providers()
            .map(|provider| provider.to_string())
            .collect(),
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
