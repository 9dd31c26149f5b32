//! What there is to say to `shoal network successor`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Whom;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SuccessorCommand {
    /// Write the file that is to follow on a network's, with other values; nobody has signed it yet.
    New(SuccessorNew),
    /// Agree to such a file, for the node of a directory: its operator does that, before or while it runs.
    Sign(SuccessorSign),
    /// Put such a file into the directory of a node, which gives it to all others.
    Add(SuccessorAdd),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cp network.toml values.toml                # and change values in it
  shoal network successor new --network network.toml --values values.toml --out successor.toml
  shoal network successor new --network network.toml --values values.toml --terms 5 --out successor.toml

What can't change: name, term, recoveries, and the kind of the addresses. A profile can't go, since clients have chosen
it. genesis_time is computed, so that the clocks of both files meet. Send the file to the operators of the members; each
signs with `shoal network successor sign`. Exit codes: 3 if nobody answers, 5 if no node has a document, 12 if what was
answered does not verify or contradicts.")]
pub(in crate::cli) struct SuccessorNew {
    #[command(flatten)]
    pub(in crate::cli) whom: Whom,
    /// A copy of the network's file with the new values.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) values: PathBuf,
    /// With which term from now on it takes effect: 1 is the next one, which leaves the least time to sign and spread it.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(in crate::cli) terms: u64,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  shoal network show successor.toml --before network.toml
  shoal network successor sign --network network.toml --dir mix1 successor.toml

Look first what it changes. More than two thirds of those who sit when nodes get it have to have signed. The signature
is written into the file.")]
pub(in crate::cli) struct SuccessorSign {
    /// The file with the network parameters as they are now.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) network: PathBuf,
    /// The directory that `shoal init` made.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: PathBuf,
    /// The file that is to follow.
    pub(in crate::cli) file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal network successor add --network network.toml --dir mix1 successor.toml
  shoal network successor add --network network.toml --dir mix1 from-mix1.toml from-mix2.toml && kill -HUP $NODE

Copies that were signed apart are put together. The node looks for it when it starts, and at SIGHUP; nodes and clients
then fetch it from each other. One node is enough.")]
pub(in crate::cli) struct SuccessorAdd {
    /// The file with the network parameters as they are now.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) network: PathBuf,
    /// The directory of a node, which `shoal init` made.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) dir: PathBuf,
    /// The file; several copies of it that were signed apart.
    #[arg(required = true)]
    pub(in crate::cli) files: Vec<PathBuf>,
}
