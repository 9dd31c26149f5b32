//! What there is to say to `shoal directory`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shoal_node::directory::Source;
use shoal_proto::Span;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Directory {
    /// Show the document that a node goes by: members, layers, who signed, and the chain that leads to it.
    Show(DirectoryShow),
    /// Ask several nodes, follow every handover of each, and compare what they go by.
    Verify(DirectoryVerify),
    /// Stay, and say what changes: documents, members, missing documents, contradictions.
    Watch(DirectoryWatch),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal directory show --network network.toml
  shoal directory show --network network.toml --node /ip4/192.0.2.1/tcp/4140/p2p/9xQe…
  shoal directory show --network network.toml --json | jq '.members[] | select(.newcomer)'

Without --node, the first members are asked, providers before mixes, until one answers. Nothing is taken on
its word: every handover is followed from the network's file on, and every signature checked.
Exit codes: 3 if nobody answers, 5 if there is no document yet, 12 if what was answered does not verify.")]
pub(in crate::cli) struct DirectoryShow {
    #[command(flatten)]
    pub(in crate::cli) whom: Whom,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal directory verify --network network.toml
  shoal directory verify --network network.toml --nodes 9 --json | jq '.nodes[] | {id, epoch, hash}'
  shoal directory verify --network network.toml --node /ip4/192.0.2.1/tcp/4140/p2p/9xQe… \\
      --node /ip4/203.0.113.9/udp/4140/quic-v1/p2p/4vJ9…

Exit codes: 0 if all that was answered verifies and nothing contradicts, 12 if not, 3 if nobody answers or one of
those given with --node does not, 5 if no node has a document.")]
pub(in crate::cli) struct DirectoryVerify {
    #[command(flatten)]
    pub(in crate::cli) whom: Whom,
    /// How many of the first members are asked at most, providers before mixes; not with --node.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, conflicts_with = "node",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(in crate::cli) nodes: u16,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal directory watch --network network.toml
  shoal directory watch --network network.toml --json | jq -c 'select(.event != \"document\")'
  shoal directory watch --network network.toml --count 1    # the document in force, then the end

Nodes are asked twenty times an epoch, at most once a second. A line for each document: the first is the one in
force. Ends at Ctrl-C with 0; after --count documents with 0, or with 12 if anything contradicted or did not verify.")]
pub(in crate::cli) struct DirectoryWatch {
    #[command(flatten)]
    pub(in crate::cli) whom: Whom,
    /// How many of the first members are asked at most, providers before mixes; not with --node.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, conflicts_with = "node",
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(in crate::cli) nodes: u16,
    /// End after so many documents.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) count: Option<u64>,
}

/// Which nodes are asked, and how long they may take.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Whom {
    /// The file with the network parameters.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) network: PathBuf,
    /// A node to ask; repeat for several.
    #[arg(long, value_name = "ADDRESS/p2p/ID")]
    pub(in crate::cli) node: Vec<Source>,
    /// How long a node may take to be connected, and as long for each answer.
    #[arg(long, value_name = "DURATION", default_value = "8s", value_parser = patience)]
    pub(in crate::cli) timeout: Span,
}

/// What networking allows for an answer is the most.
pub(super) fn patience(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    let range = Span::from_millis(100)..=Span::from_secs(10);
    match range.contains(&span) {
        true => Ok(span),
        false => Err("from 100ms to 10s".to_owned()),
    }
}
