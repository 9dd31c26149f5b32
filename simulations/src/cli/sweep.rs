//! `shoal-sim sweep`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use shoal_simulations::sweep::{Meta, Shard, Survey, Sweep};

use super::check::time;
use super::progress::Bar;
use super::run::TOLD;
use super::{CommandResult, Exit};

/// Warnings that are shown.
const WARNINGS: usize = 5;

/// Runs a scenario at every point of a sweep, with the same random numbers for each, and writes
/// one table of results. A second start of the same command does only what is missing.
#[derive(Args)]
#[command(after_help = "Examples:
  shoal-sim sweep rates.toml --check
  shoal-sim sweep rates.toml --out rates/ && shoal-sim plot rates/
  shoal-sim sweep rates.toml --out shard-2 --shard 2/8    # on the second of eight machines
  shoal-sim merge shard-* --out rates/")]
pub(crate) struct SweepArgs {
    /// The sweep, as TOML (docs/simulator/sweep.md).
    sweep: PathBuf,
    /// Folder for the results and for what is finished on the way. Without it: the sweep's name
    /// with `-results`, in the current directory.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Do a share of the runs, as 1/8 for the first of eight: those whose number, from 0, leaves
    /// the remainder I - 1 when divided by N. No tables are written: `shoal-sim merge` does that.
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Threads: runs that go on at a time. 0 is one for each core; fewer are used where memory
    /// does not suffice.
    #[arg(long, default_value_t = 0, value_parser = super::threads)]
    threads: usize,
    /// The seed, instead of the sweep's and the scenario's.
    #[arg(long)]
    seed: Option<u64>,
    /// Repetitions of each point, instead of the sweep's and the scenario's.
    #[arg(long)]
    repetitions: Option<u32>,
    /// Check every point, say how many runs there would be, and run nothing.
    #[arg(long)]
    check: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &SweepArgs) -> CommandResult {
    let sweep = Sweep::read(&args.sweep, args.seed, args.repetitions, args.threads)?;
    if args.check {
        tell_size(&sweep, args.json);
        return Ok(Exit::Done);
    }
    let out = args.out.clone().unwrap_or_else(|| default_out(&args.sweep));
    let work = sweep.survey(&out, args.shard)?;
    let survey = work.found();
    if !args.json {
        eprintln!("{}", found(&sweep, survey, args.shard));
    }
    if survey.missing() > 0 {
        let load = work.prepare(args.threads)?;
        for warning in load.warnings.iter().take(WARNINGS) {
            eprintln!("warning: {warning}");
        }
        if load.warnings.len() > WARNINGS {
            let more = load.warnings.len() - WARNINGS;
            eprintln!(
                "warning: {more} more like these: `shoal-sim check` tells those of one scenario"
            );
        }
        if load.expected > TOLD {
            let expected = time(load.expected);
            eprintln!(
                "this will take about {expected}, {} runs at a time",
                load.threads
            );
        }
        let bar = Bar::new(survey.missing() as u64, load.seconds, args.json);
        let done = work.run(&load, &bar);
        bar.finish();
        done?;
    }
    let meta = if args.shard.is_whole() {
        Some(sweep.finish(&out)?)
    } else {
        None
    };
    tell_end(args, &sweep, survey, meta.as_ref(), &out);
    Ok(Exit::Done)
}

/// `rates-results` for `dir/rates.toml`.
fn default_out(sweep: &Path) -> PathBuf {
    let stem = sweep.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{stem}-results"))
}

fn tell_size(sweep: &Sweep, as_json: bool) {
    let (points, repetitions) = (sweep.points(), sweep.repetitions());
    if as_json {
        let summary = json!({
            "points": points,
            "repetitions": repetitions,
            "runs": sweep.runs(),
            "seed": sweep.seed(),
            "sweep_hash": sweep.hash(),
        });
        println!("{summary:#}");
    } else {
        let (runs, seed) = (sweep.runs(), sweep.seed());
        println!(
            "{points} points x {repetitions} repetitions = {runs} runs, seed {seed}: every point is a valid scenario"
        );
    }
}

fn found(sweep: &Sweep, survey: Survey, shard: Shard) -> String {
    let (points, repetitions) = (sweep.points(), sweep.repetitions());
    let mut text = format!(
        "{points} points x {repetitions} repetitions, seed {}",
        sweep.seed()
    );
    if !shard.is_whole() {
        text += &format!(", shard {shard}");
    }
    text += &format!(
        ": {} runs, {} are there already",
        survey.runs, survey.present
    );
    if survey.damaged > 0 {
        text += &format!(", {} are damaged and done again", survey.damaged);
    }
    text
}

fn tell_end(args: &SweepArgs, sweep: &Sweep, survey: Survey, meta: Option<&Meta>, out: &Path) {
    if args.json {
        let summary = json!({
            "out": out,
            "shard": args.shard.to_string(),
            "sweep_hash": sweep.hash(),
            "seed": sweep.seed(),
            "points": sweep.points(),
            "repetitions": sweep.repetitions(),
            "runs": survey.runs,
            "present": survey.present,
            "damaged": survey.damaged,
            "done": survey.missing(),
            "sweep": meta,
        });
        println!("{summary:#}");
    } else if meta.is_some() {
        println!("results are in {}", out.display());
    } else {
        println!(
            "shard {} is in {}; when all shards are done: shoal-sim merge DIR... --out DIR",
            args.shard,
            out.display()
        );
    }
}
