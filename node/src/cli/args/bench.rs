//! What there is to say to `shoal bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shoal_provider::StoreEngine;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Bench {
    /// How fast mailboxes are stored, listed and acknowledged on a disk of this machine.
    Store(BenchStore),
}

/// What keeps mailboxes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum EngineName {
    /// One SQLite file.
    Sqlite,
}

impl From<EngineName> for StoreEngine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Sqlite => Self::Sqlite,
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal bench store --mailboxes 20000
  shoal bench store --in /var/lib/shoal --json | jq .many.puts.per_second

Two stores are made, one with 1,000 mailboxes and one with many, and measured in turns: deposits with 64 in a
transaction, as a provider does, and with one in each; looking through mailboxes; acknowledgements. A million mailboxes
take 4 GB on the disk while it runs, and minutes to make (a few times as long with a debug build: begin with
--mailboxes 20000). Results hold for the disk, and compare within one run only. The stores are deleted at the end.")]
pub(in crate::cli) struct BenchStore {
    /// What keeps the mailboxes.
    #[arg(long, value_name = "ENGINE", default_value = "sqlite")]
    pub(in crate::cli) engine: EngineName,
    /// Mailboxes of the larger store.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(in crate::cli) mailboxes: u64,
    /// Rounds, each with a group of everything for both stores.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(in crate::cli) rounds: u32,
    /// A directory on the disk to measure; the current one unless given. What keeps files in memory (tmpfs) is refused.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) r#in: Option<PathBuf>,
}
