//! `shoal directory`.

mod document;
mod show;
mod verify;
mod watch;

use std::sync::Arc;

use anyhow::anyhow;
use shoal_node::Failure;
use shoal_node::config::load_network;
use shoal_node::directory::{Asked, Chain, Source};
use shoal_topology::NetworkParameters;

use super::args::{Directory, Whom};

pub(super) async fn run(command: &Directory, json: bool) -> Result<(), Failure> {
    match command {
        Directory::Show(args) => show::run(args, json).await,
        Directory::Verify(args) => verify::run(args, json).await,
        Directory::Watch(args) => watch::run(args, json).await,
    }
}

/// The network, and the nodes that are to be asked: those that were given, else so many of the file.
pub(super) fn whom(
    whom: &Whom,
    most: usize,
) -> Result<(Arc<NetworkParameters>, Vec<Asked>), Failure> {
    let params = load_network(&whom.network).map_err(Failure::usage)?;
    let params = Arc::new(params);
    let mut sources: Vec<Source> = Vec::new();
    for given in &whom.node {
        // Who is named twice is asked once, at both addresses.
        match sources.iter_mut().find(|source| source.id == given.id) {
            Some(known) => known.addresses.extend(given.addresses.iter().cloned()),
            None => sources.push(given.clone()),
        }
    }
    if sources.is_empty() {
        sources = Source::of_network(&params, most);
    }
    if sources.is_empty() {
        return Err(Failure::usage(anyhow!(
            "no member in {} has an address: name a node to ask with --node ADDRESS/p2p/ID",
            whom.network.display()
        )));
    }
    let chain = Chain::new(&params).map_err(Failure::usage)?;
    let asked = sources
        .into_iter()
        .map(|source| Asked::new(Arc::clone(&params), source, chain.clone()));
    Ok((Arc::clone(&params), asked.collect()))
}
