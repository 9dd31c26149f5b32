//! What there is to say to `shoal node status`, `shoal node doctor` and `shoal node invite`.

use clap::Args;
use shoal_proto::{NodeId, Span};

use super::client::Soon;
use super::directory::patience;
use super::{NetworkFile, Place};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal node status --dir mix1
  shoal node status --dir mix1 --json | jq -r '.troubles[].text'
  until shoal node status --dir mix1 > status.txt; do sleep 1; done    # until it is ready

The node is asked on the socket in its directory, which its own user alone can open: run this as that user. What it
says names nobody but who has invited it: of others there are numbers. Ready means what /healthz means.
Exit codes: 0 if it is ready, 13 if not, 3 if no node runs there.")]
pub(in crate::cli) struct NodeStatus {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) timeout: Soon,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal node doctor --dir mix1
  shoal node doctor --dir mix1 --json | jq -r '.findings[] | select(.level != \"ok\") | .what'

It reads the configuration and the network's file, looks at the directory, tries the disk and the ports, compares the
clock with first members and asks them for which network they answer. A node that runs is asked how it is. Nothing is
changed. Run it as the node's user, before the first start too.
Exit codes: 0 if nothing keeps the node from its work, whether it runs or not (there may be warnings), 13 if something
does.")]
pub(in crate::cli) struct NodeDoctor {
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) network: NetworkFile,
    /// How long a member that is asked may take to be connected, and as long to answer.
    #[arg(long, value_name = "DURATION", default_value = "8s", value_parser = patience)]
    pub(in crate::cli) timeout: Span,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal node invite 9xQe… --dir mix1
  shoal node invite 9xQe… --dir mix1 --epochs 168
  shoal node invite 9xQe… --dir mix1 --json | jq -r .invitation

It signs with the identity in the directory, and asks nobody: the node there may run or not. What is printed is no
secret, and good for that node in this network only, up to an epoch. Each member brings in at most one in so many terms
as the network's `newcomers` says, and none as a newcomer; of several that it has invited the one waits whose invitation
lasts longest. All nodes see who has brought in whom. An invitation can't be taken back.")]
pub(in crate::cli) struct NodeInvite {
    /// The id of the node to invite, which `shoal init` printed.
    #[arg(value_name = "NODE_ID")]
    pub(in crate::cli) node: NodeId,
    #[command(flatten)]
    pub(in crate::cli) place: Place,
    #[command(flatten)]
    pub(in crate::cli) network: NetworkFile,
    /// For how many epochs from now it counts; unless given, for 30 terms.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(in crate::cli) epochs: Option<u64>,
}
