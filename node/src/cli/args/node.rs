//! What there is to say to `shoal node status` and `shoal node doctor`.

use clap::Args;
use shoal_proto::Span;

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
says names nobody: of others there are numbers. Ready means what /healthz means.
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
