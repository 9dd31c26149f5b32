//! `shoal-sim run`.

use std::path::{Path, PathBuf};

use clap::Args;
use shoal_simulations::measure::Claim;
use shoal_simulations::run::{self, Options, Report, Summary};
use shoal_simulations::scenario::{Scenario, repeated};

use super::check::{bytes, time};
use super::progress::Bar;
use super::{CommandResult, Exit};

/// What takes longer than this, in seconds, says so before it starts.
pub(super) const TOLD: f64 = 20.0;

/// Simulates a scenario, prints its metrics with their 95% intervals, and writes all results.
#[derive(Args)]
#[command(after_help = "Examples:
  shoal-sim new loopix -o loopix.toml && shoal-sim run loopix.toml
  shoal-sim run loopix.toml --seed 7 --out results/ && shoal-sim plot results/
  shoal-sim run loopix.toml --json | jq '.metrics[] | select(.name == \"latency_p99.real\")'")]
pub(crate) struct RunArgs {
    /// The scenario, as TOML or JSON (docs/simulator/scenario.md).
    scenario: PathBuf,
    /// The seed, instead of the scenario's.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of repetitions, instead of the scenario's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repetitions: Option<u32>,
    /// Folder for the results: made if need be; files of an earlier run in it are replaced.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Threads: repetitions that run at a time. 0 is one for each core.
    #[arg(long, default_value_t = 0, value_parser = super::threads)]
    threads: usize,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RunArgs) -> CommandResult {
    let scenario = Scenario::open(&args.scenario)?;
    for warning in scenario.warnings() {
        eprintln!("warning: {warning}");
    }
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    let options = Options {
        seed: args.seed,
        repetitions: args.repetitions,
        threads: args.threads,
        observe: args.out.clone(),
    };
    let model = &scenario.model().run;
    let repetitions = args.repetitions.unwrap_or(model.repetitions);
    let each = scenario.plan(0).phases.total();
    let threads = run::threads_that_fit(&scenario, args.threads, repetitions)?;
    let expected = repeated(&scenario, threads, repetitions);
    if expected.seconds > TOLD {
        eprintln!(
            "this will take about {} and {} of memory ({} repetitions, {} at a time; {})",
            time(expected.seconds),
            bytes(expected.bytes),
            repetitions,
            expected.at_once,
            expected.basis
        );
    }
    let bar = Bar::new(
        u64::from(repetitions),
        each * f64::from(repetitions),
        args.json,
    );
    let report = run::execute(&scenario, &options, &bar);
    bar.finish();
    let report = report?;
    if let Some(out) = &args.out {
        report.write(&scenario, out)?;
    }
    for summary in &report.summaries {
        let passed_over = summary.name.strip_prefix("targets_passed_over_");
        if let Some(direction) = passed_over.filter(|_| summary.mean.is_some_and(|n| n > 0.0)) {
            eprintln!(
                "warning: {}, {direction}: messages that were due as targets were passed over, because targets.max_alive were alive. \
                 That biases means over targets, which are approximations then: raise targets.max_alive or targets.every",
                summary.adversary.as_deref().unwrap_or_default()
            );
        }
    }
    if args.json {
        print!("{}", report.summary_json()?);
    } else {
        print_report(&report, args.out.as_deref());
    }
    Ok(Exit::Done)
}

fn print_report(report: &Report, out: Option<&Path>) {
    let meta = &report.meta;
    let hash = meta.scenario_hash.get(..12).unwrap_or_default();
    println!(
        "scenario {hash}, seed {}, {} repetitions; mean and 95% interval",
        meta.seed, meta.repetitions
    );
    let width = report.summaries.iter().map(|s| s.key().len()).max();
    for summary in &report.summaries {
        println!("  {}", line(summary, width.unwrap_or(0)));
    }
    let timing = &report.timing;
    println!(
        "{} hops in {:.1} s on {} threads, {:.2} million per second",
        timing.hops,
        timing.wall_s,
        timing.threads,
        timing.hops_per_s / 1e6
    );
    match out {
        Some(out) => println!("results are in {}", out.display()),
        None => println!("nothing was kept: name a folder with --out to keep the results"),
    }
}

fn line(summary: &Summary, width: usize) -> String {
    let value = match (summary.mean, summary.low, summary.high) {
        (Some(mean), Some(low), Some(high)) => {
            format!("{} [{}, {}]", short(mean), short(low), short(high))
        }
        (Some(mean), ..) => short(mean),
        _ => "none".to_owned(),
    };
    let unit = if summary.unit == "1" {
        ""
    } else {
        &summary.unit
    };
    let key = summary.key();
    let claim = claim(&summary.claim);
    let absent = match &summary.absent {
        Some(reason) if summary.mean.is_none() => format!(" ({reason})"),
        Some(reason) => format!(" (in {} repetitions; else: {reason})", summary.repetitions),
        None => String::new(),
    };
    format!("{key:width$}  {value:28} {unit:8} {claim}{absent}")
}

/// Five significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e6).contains(&size) {
        let decimals = if size >= 1e4 {
            0
        } else if size >= 100.0 {
            2
        } else {
            4
        };
        format!("{value:.decimals$}")
    } else {
        format!("{value:.3e}")
    }
}

fn claim(claim: &Claim) -> String {
    let kind = match claim {
        Claim::Unsound(_) => "not inferred".to_owned(),
        other => other.kind().replace('_', " "),
    };
    let detail = claim.detail();
    if detail.is_empty() {
        kind
    } else {
        format!("{kind}: {detail}")
    }
}
