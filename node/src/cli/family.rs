//! `shoal family`.

use std::path::Path;

use serde::Serialize;
use shoal_node::config::load_network;
use shoal_node::state::keys::{create_family, load_family};
use shoal_node::{Failure, seeded};

use super::args::{Family, FamilySign};
use super::output;

/// What `shoal family create --json` prints.
#[derive(Serialize)]
struct Made {
    family: String,
    key: String,
}

/// What `shoal family sign --json` prints.
#[derive(Serialize)]
struct Signed {
    node: String,
    network: String,
    /// The value of `family` in the node's configuration.
    family: String,
}

pub(super) fn run(command: &Family, json: bool) -> Result<(), Failure> {
    match command {
        Family::Create { file } => create(file, json),
        Family::Sign(args) => sign(args, json),
    }
}

fn create(file: &Path, json: bool) -> Result<(), Failure> {
    let key = create_family(file, &mut seeded()?)?;
    let made = Made {
        family: key.id().to_string(),
        key: file.display().to_string(),
    };
    let words = format!(
        "Made a family\n  public key  {}\n  key         {} (keep it secret and off the nodes, keep a \
         backup)\n\nNext, for each node:\n  shoal init --family {} …\n  shoal family sign --key {} \
         --network FILE NODE_ID",
        made.family, made.key, made.family, made.key
    );
    output::show(json, &made, &words)
}

fn sign(args: &FamilySign, json: bool) -> Result<(), Failure> {
    let key = load_family(&args.key).map_err(Failure::usage)?;
    let network = load_network(&args.network).map_err(Failure::usage)?.chain();
    let proof = key.prove(&network, &args.node);
    let signed = Signed {
        node: args.node.to_string(),
        network: network.to_string(),
        family: proof.to_string(),
    };
    let words = format!("family = \"{}\"", signed.family);
    output::show(json, &signed, &words)
}
