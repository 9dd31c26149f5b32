//! `shoal-sim reproduce`.

use std::path::{Path, PathBuf};

use clap::Args;
use shoal_simulations::reproduce::{self, Effort, Point, Report, ReproduceError, Setup};

use super::progress::Bar;
use super::{CommandResult, Exit};

/// Measures a published result anew and holds it against the published numbers. Exit code 3 says
/// that a gated point does not hold.
#[derive(Args)]
#[command(after_help = "Examples:
  shoal-sim reproduce --list
  shoal-sim reproduce single-mix --seed 7
  shoal-sim reproduce loopix-fig5 --repetitions 400
  shoal-sim reproduce mixim-fig7 --json | jq '.points[] | {name, ours, reference}'")]
pub(crate) struct ReproduceArgs {
    /// Which (--list names them; docs/simulator/reproduce.md describes them).
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// List what there is, and how long each takes.
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// The seed. A reproduction holds for every seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads: runs at a time. 0 is one for each core. The result does not depend on it.
    #[arg(long, default_value_t = 0, value_parser = super::threads)]
    threads: usize,
    /// Repetitions of each run, instead of the reproduction's own: four times as many take four times as
    /// long and halve the standard errors.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    repetitions: Option<u32>,
    /// A few seconds of work: standard errors are large, and their size is not judged.
    #[arg(long)]
    quick: bool,
    /// Folder for NAME.csv, NAME.parquet, NAME.json and a figure: made if need be.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReproduceArgs) -> CommandResult {
    let Some(name) = &args.name else {
        return list(args.json);
    };
    let reproduction = match reproduce::find(name) {
        Ok(found) => found,
        Err(error @ ReproduceError::Unknown { .. }) => {
            eprintln!("error: {error}");
            return Ok(Exit::Refused);
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    let setup = Setup {
        seed: args.seed,
        threads: args.threads,
        effort: if args.quick {
            Effort::Quick
        } else {
            Effort::Full
        },
        repetitions: args.repetitions,
    };
    let (runs, seconds) = reproduction.extent(&setup);
    let bar = Bar::new(runs, seconds, args.json);
    let report = reproduction.run(&setup, &bar);
    bar.finish();
    let report = report?;
    if let Some(out) = &args.out {
        report.write(out)?;
    }
    if args.json {
        println!("{}", report.json());
    } else {
        print_report(&report, args.out.as_deref());
    }
    Ok(if report.holds { Exit::Done } else { Exit::No })
}

fn list(json: bool) -> CommandResult {
    if json {
        println!("{}", reproduce::catalogue_json());
        return Ok(Exit::Done);
    }
    println!("{:14} {:6} {:>8}  what it is", "name", "gated", "about");
    for known in reproduce::catalogue() {
        let gated = if known.gated { "yes" } else { "no" };
        let seconds = known.seconds;
        println!("{:14} {gated:6} {seconds:>6} s  {}", known.name, known.what);
    }
    println!("times are for two cores; docs/simulator/reproduce.md has a page for each");
    Ok(Exit::Done)
}

fn print_report(report: &Report, out: Option<&Path>) {
    let meta = &report.meta;
    let hash = meta.plan_hash.get(..12).unwrap_or_default();
    println!("{}: {}", report.name, report.what);
    println!("plans {hash}, seed {}, {} runs", meta.seed, meta.runs);
    let width = report.points.iter().map(|point| point.name.len());
    let width = width.max().unwrap_or(0);
    let head = ("point", "ours", "std error", "published", "tolerance");
    println!(
        "  {:width$}  {:>10} {:>10} {:>10} {:>10}",
        head.0, head.1, head.2, head.3, head.4
    );
    for point in &report.points {
        println!("  {}", line(point, width, meta.effort));
    }
    let gated = report.points.iter().filter(|point| point.gated).count();
    match (report.holds, gated) {
        (_, 0) => println!("nothing is gated"),
        (true, _) => println!("all {gated} gated points hold"),
        (false, _) => println!("NOT reproduced: see the points that are marked"),
    }
    if let Some(out) = out {
        println!("results are in {}", out.display());
    }
}

fn line(point: &Point, width: usize, effort: Effort) -> String {
    let digits = if point.unit == "packets/s" { 1 } else { 4 };
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.digits$}"));
    // Four digits, and none that say nothing.
    let tolerance = |v: f64| format!("{v:.4}").trim_end_matches('0').to_owned();
    let tolerance = point.tolerance.map_or(String::new(), tolerance);
    let line = format!(
        "{:width$}  {:>10} {:>10} {:>10} {tolerance:>10}  {:9} {}",
        point.name,
        number(point.ours),
        number(point.standard_error),
        number(point.reference),
        point.unit,
        point.verdict(effort).as_str(),
    );
    line.trim_end().to_owned()
}
