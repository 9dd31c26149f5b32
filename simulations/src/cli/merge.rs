//! `shoal-sim merge`.

use std::path::PathBuf;

use clap::Args;
use shoal_simulations::sweep;

use super::{CommandResult, Exit};

/// Puts the shards of a sweep together: the same files as of the sweep without shards.
#[derive(Args)]
#[command(after_help = "Examples:
  shoal-sim merge shard-1 shard-2 shard-3 --out results/
  shoal-sim merge shared/ --out shared/    # all shards wrote to one folder")]
pub(crate) struct MergeArgs {
    /// The folders that shards of one sweep wrote to.
    #[arg(required = true)]
    folders: Vec<PathBuf>,
    /// Folder for the results; it may be one of the shards'.
    #[arg(long)]
    out: PathBuf,
    /// Print `sweep.json`.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &MergeArgs) -> CommandResult {
    let meta = sweep::merge(&args.folders, &args.out)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&meta)?);
    } else {
        let (points, repetitions) = (meta.points, meta.repetitions);
        println!(
            "{points} points x {repetitions} repetitions: results are in {}",
            args.out.display()
        );
    }
    Ok(Exit::Done)
}
