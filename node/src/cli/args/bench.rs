//! What there is to say to `shoal bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shoal_proto::Span;
use shoal_provider::StoreEngine;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Bench {
    /// How fast mailboxes are stored, listed and acknowledged on a disk of this machine.
    Store(BenchStore),
    /// How fast a mix passes packets on, what that costs, and whether it keeps their delays.
    Mix(BenchMix),
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

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shoal bench mix
  shoal bench mix --rate 3000 --duration 30s
  shoal bench mix --stall 1 --rate 2000
  shoal bench mix --overload 5 --duration 60s --json | jq .measured.drops

A mix runs in a process of its own, as `shoal node run` does it; this process is its peers, which send and receive over
connections on loopback. Without --rate, as many packets are under way as keep the mix busy. Packets are made before,
since each has to be a new one: 2.5 kB each, 400,000 at most (1 GB); more are made meanwhile, which takes time of the
processor from the mix. Both processes share the machine's cores: what a packet costs holds for the machine, what passes
in a second for the two together. The time of the processor is the mix's alone, and the reference (the crate
sphinx-packet) is measured in turns all the while. Linux only. The mix's directory is deleted at the end.")]
pub(in crate::cli) struct BenchMix {
    /// Peers that send to the mix, and that it sends to.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(in crate::cli) peers: u8,
    /// Packets a second in all, at moments of a Poisson process; as many as pass unless given.
    #[arg(long, value_name = "RATE", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(in crate::cli) rate: Option<u32>,
    /// How long is measured, after a few seconds of warming up: 500ms to 10m.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(in crate::cli) duration: Span,
    /// So many of the peers stop reading in a second part; the first is what passes while all read.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) stall: u8,
    /// Measure what passes, and then offer so many times of that.
    #[arg(long, value_name = "TIMES", value_parser = times, conflicts_with_all = ["rate", "stall"])]
    pub(in crate::cli) overload: Option<f64>,
    /// Connections over TCP, as they are unless --quic is given.
    #[arg(long, conflicts_with = "quic")]
    pub(in crate::cli) tcp: bool,
    /// Connections over QUIC.
    #[arg(long)]
    pub(in crate::cli) quic: bool,
    /// The mean of the delays that packets ask for: 1ms to 10s.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = mean_delay)]
    pub(in crate::cli) mean_delay: Span,
    /// Places in the mix's pool.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub(in crate::cli) pool: u32,
    /// A directory on the disk that the replay log is to be on; the current one unless given. What keeps files in memory
    /// (tmpfs) is refused.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) r#in: Option<PathBuf>,
}

fn between(text: &str, (least, most): (Span, Span)) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    match least <= span && span <= most {
        true => Ok(span),
        false => Err(format!("from {least} to {most}")),
    }
}

fn duration(text: &str) -> Result<Span, String> {
    between(text, (Span::from_millis(500), Span::from_secs(600)))
}

fn mean_delay(text: &str) -> Result<Span, String> {
    between(text, (Span::from_millis(1), Span::from_secs(10)))
}

fn times(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(times) if (0.1..=100.0).contains(&times) => Ok(times),
        _ => Err("a number from 0.1 to 100".to_owned()),
    }
}
