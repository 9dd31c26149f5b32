//! `shoal-sim profiles`.

use std::path::{Path, PathBuf};

use clap::Args;
use shoal_simulations::profiles;
use shoal_simulations::table::write_atomically;
use shoal_topology::NetworkParameters;

use super::progress::Bar;
use super::{CommandResult, Exit};

/// The largest file of a network's parameters, in bytes.
const MAX_NETWORK_BYTES: u64 = 1 << 20;

/// Measures what a network's profiles give: how long a text takes, and how well a packet hides its sender.
#[derive(Args)]
#[command(after_help = "Examples:
  shoal-sim profiles --out node/src/profiles.json --figure docs/simulator/profiles.svg
  shoal-sim profiles --network network.toml | jq '.profiles.mobile.sizes'")]
pub(crate) struct ProfilesArgs {
    /// The network's parameters; by default, those of a new network.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Repetitions of each run: four times as many halve the intervals.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    repetitions: u32,
    /// Threads: runs at a time. 0 is one for each core. The result does not depend on it.
    #[arg(long, default_value_t = 0, value_parser = super::threads)]
    threads: usize,
    /// File for the table, as JSON; by default, it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// File for the curve of bits against seconds, as SVG.
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
}

pub(crate) fn run(args: &ProfilesArgs) -> CommandResult {
    let params = match args
        .network
        .as_deref()
        .map_or_else(|| Ok(NetworkParameters::example()), read)
    {
        Ok(params) => params,
        Err(reason) => {
            eprintln!("error: {reason}");
            return Ok(Exit::Refused);
        }
    };
    let (runs, seconds) = profiles::extent(&params, args.repetitions);
    let bar = Bar::new(runs, seconds, args.out.is_none());
    let table = profiles::measure(&params, (args.seed, args.repetitions), args.threads, &bar);
    bar.finish();
    let table = table?;
    if let Some(file) = &args.figure {
        write(file, &profiles::figure(&table).svg()?)?;
    }
    match &args.out {
        Some(file) => write(file, &table.json()?)?,
        None => print!("{}", table.json()?),
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<NetworkParameters, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = shoal_simulations::input::read_text(path, MAX_NETWORK_BYTES);
    let params = NetworkParameters::from_toml(&text.map_err(|error| told(&error))?);
    params.map_err(|error| told(&error))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    write_atomically(path, text.as_bytes()).map_err(|error| format!("{}: {error}", path.display()))
}
