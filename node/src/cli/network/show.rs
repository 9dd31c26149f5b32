//! `shoal network show`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use shoal_node::Failure;
use shoal_node::config::load_network;
use shoal_node::runtime::Clock;
use shoal_topology::Role;

use super::successor;
use crate::cli::args::NetworkShow;
use crate::cli::cost::{self, Cost};
use crate::cli::output;

/// What `shoal network show --json` prints.
#[derive(Serialize)]
struct Shown {
    name: String,
    hash: String,
    genesis_time: u64,
    epoch: String,
    epoch_now: u64,
    epoch_ends_in_secs: f64,
    layers: u8,
    mean_delay: String,
    mixes: usize,
    providers: usize,
    /// The heights after which a recovery names who decides.
    recoveries: Vec<u64>,
    /// The hash of the file that it follows on; none for a network's first.
    follows: Option<String>,
    /// For what all in the chain is signed: the hash of the first file.
    chain: String,
    profiles: BTreeMap<String, Cost>,
}

pub(super) fn run(args: &NetworkShow, json: bool) -> Result<(), Failure> {
    let now = Clock::start().now();
    let file = &args.file;
    if let Some(before) = &args.before {
        let before = load_network(before).map_err(Failure::usage)?;
        let successor = successor::read(file, &before)?;
        let shown = successor::Shown::of(file, &successor, &before)?;
        return output::show(json, &shown, &shown.in_words(now));
    }
    let params = load_network(file).map_err(Failure::usage)?;
    let epoch = params.epoch_at(now);
    let shown = Shown {
        name: params.name.clone(),
        hash: params.hash().to_string(),
        genesis_time: params.genesis.as_secs(),
        epoch: params.epoch.to_string(),
        epoch_now: epoch.number(),
        epoch_ends_in_secs: params.start_of(epoch.next()).since(now).as_secs_f64(),
        layers: params.layers,
        mean_delay: params.mean_delay.to_string(),
        mixes: params.first(Role::Mix).0,
        providers: params.first(Role::Provider).0,
        recoveries: params
            .recoveries
            .iter()
            .map(|it| it.height.number())
            .collect(),
        follows: params.succession.as_ref().map(|it| it.follows.to_string()),
        chain: params.chain().to_string(),
        profiles: Cost::of_all(&params),
    };
    output::show(json, &shown, &in_words(&shown))
}

fn in_words(shown: &Shown) -> String {
    let mut recoveries = String::new();
    for height in &shown.recoveries {
        // Writing to a string does not fail.
        let _ = writeln!(
            recoveries,
            "recovered  after height {height}: its seats were lost, and others decide"
        );
    }
    if let Some(follows) = &shown.follows {
        let _ = writeln!(
            recoveries,
            "follows    on the file {follows}; what that changed: shoal network show FILE --before OLD"
        );
    }
    format!(
        "network    {}\nhash       {}\nepoch      {} now, {} long, the next in {:.0} s\nlayers     \
         {} of mixes, mean delay {}\nstarts     with {} mixes and {} providers\n{recoveries}\n{}",
        shown.name,
        shown.hash,
        shown.epoch_now,
        shown.epoch,
        shown.epoch_ends_in_secs,
        shown.layers,
        shown.mean_delay,
        shown.mixes,
        shown.providers,
        cost::table(&shown.profiles),
    )
}
