//! What there is to say to `shoal network recovery`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use shoal_proto::NodeId;

use super::Whom;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Recovery {
    /// Write a recovery from the newest document that the nodes have; nobody has signed it yet.
    New(RecoveryNew),
    /// Agree to a recovery, for the node of a directory: its operator does that, before or while it runs.
    Sign(RecoverySign),
    /// Put a recovery into a network's file, if enough of those that it names have signed.
    Add(RecoveryAdd),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal network recovery new --network network.toml --without 9xQe… --without 4vJ9… --out recovery.toml
  shoal network recovery new --network network.toml --member 7bTc… --member 2nLm… --member 8wRa… --out recovery.toml

For a network that stands still because more than a third of its seats are lost for good. Who is named decides from
that document on to the end of the term. Send the file to the operators of those that it names; each signs with
`shoal network recovery sign`. Exit codes: 3 if nobody answers, 5 if no node has a document, 12 if what was answered
does not verify or contradicts.")]
pub(in crate::cli) struct RecoveryNew {
    #[command(flatten)]
    pub(in crate::cli) whom: Whom,
    /// A member that is to decide; repeat for each, up to 400.
    #[arg(long, value_name = "ID", required_unless_present = "without")]
    pub(in crate::cli) member: Vec<NodeId>,
    /// All members are to decide but this one; repeat for each.
    #[arg(long, value_name = "ID", conflicts_with = "member")]
    pub(in crate::cli) without: Vec<NodeId>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal network recovery sign --network network.toml --dir mix1 recovery.toml

Look first, with the other operators and outside of the network, whether those that are left out are lost for good,
and whether nobody has a newer document: whoever signs gives up what is newer. The signature is written into the
file.")]
pub(in crate::cli) struct RecoverySign {
    /// The file with the network parameters.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) network: PathBuf,
    /// The directory that `shoal init` made.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: PathBuf,
    /// The recovery.
    pub(in crate::cli) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal network recovery add --network network.toml recovery.toml
  shoal network recovery add --network network.toml recovery-of-mix1.toml recovery-of-mix2.toml

Copies that were signed apart are put together. The network's hash stays. Give the file to every node and every
client, and start them again: who has it without the recovery stands still, and says so.")]
pub(in crate::cli) struct RecoveryAdd {
    /// The network's file, which is changed.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) network: PathBuf,
    /// The recovery; several copies of it that were signed apart.
    #[arg(required = true)]
    pub(in crate::cli) files: Vec<PathBuf>,
}
