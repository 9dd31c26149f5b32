//! `shoal node invite`.

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::Failure;
use shoal_node::config::{NodeConfig, NodeFlags, load_network};
use shoal_node::runtime::Clock;
use shoal_node::state::load_identity;
use shoal_proto::Epoch;
use shoal_topology::{Admission, Invitation, NetworkParameters};

use crate::cli::args::NodeInvite;
use crate::cli::launch::{directory, environment, overrides, path_text};
use crate::cli::output;

/// For how many terms an invitation counts unless it is said.
const TERMS: u64 = 30;

/// What `shoal node invite --json` prints.
#[derive(Serialize)]
struct Signed {
    node: String,
    network: String,
    /// Who invites.
    by: String,
    /// The last epoch in which it counts.
    last_epoch: u64,
    /// When that ends, in seconds since 1970.
    until: u64,
    /// The value of `invitation` in the node's configuration.
    invitation: String,
}

pub(super) fn run(args: &NodeInvite, json: bool) -> Result<(), Failure> {
    let dir = directory(&args.place);
    let network = path_text("--network", args.network.network.as_deref())?;
    let flags = NodeFlags {
        dir: dir.clone(),
        config: args.place.config.clone(),
        overrides: overrides([("network", "network", network)]),
    };
    let config = NodeConfig::load(&flags, &environment()?).map_err(Failure::usage)?;
    let params = load_network(&config.network).map_err(Failure::usage)?;
    let identity = load_identity(&dir).map_err(Failure::usage)?;
    let invites = params.admission == Admission::Invitation;
    let refused = if !invites {
        Some("in this network nobody has to be invited, as `admission` in its file says".to_owned())
    } else if params.is_genesis(&args.node) {
        Some(format!(
            "{} is one that the network starts with: it comes without",
            args.node
        ))
    } else if args.node == identity.id() {
        Some(format!(
            "{} is the node of {}: a member invites others",
            args.node,
            dir.display()
        ))
    } else {
        None
    };
    if let Some(why) = refused {
        return Err(Failure::Usage(anyhow!(why)));
    }
    let last = last_epoch(&params, args.epochs);
    let signed = Invitation::sign(&identity, &params.chain(), &args.node, last);
    let signed = Signed {
        node: args.node.to_string(),
        network: params.hash().to_string(),
        by: signed.by.to_string(),
        last_epoch: last.number(),
        until: params.start_of(last.next()).as_secs(),
        invitation: signed.to_string(),
    };
    output::show(
        json,
        &signed,
        &format!("invitation = \"{}\"", signed.invitation),
    )
}

/// That many epochs after this one; from the first on, before there is one.
fn last_epoch(params: &NetworkParameters, epochs: Option<u64>) -> Epoch {
    let now = params.epoch_at(Clock::start().now());
    let epochs = epochs.unwrap_or(TERMS * u64::from(params.term));
    Epoch::new(now.number().saturating_add(epochs))
}
