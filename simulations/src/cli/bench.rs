//! `shoal-sim bench`: how fast the engine is on this machine, beside a plain event loop.

use std::process::{Command, Stdio};

use clap::Args;
use serde::{Deserialize, Serialize};
use shoal_simulations::engine::bench::{Case, Timing, time};
use shoal_simulations::memory;

use super::{CommandResult, Exit};

/// Measures the engine's speed and memory beside a plain binary-heap event loop, in turn in the
/// same run. Takes several minutes; --quick takes seconds.
#[derive(Args)]
#[command(after_help = "\
Examples:
  shoal-sim bench --quick
  shoal-sim bench --presets
  shoal-sim bench --json > bench.json")]
pub(crate) struct Bench {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Shorter runs, and a hundred thousand clients in place of the million: the figures are
    /// rougher, and those of the third row another case's.
    #[arg(long)]
    quick: bool,
    /// Seed of the runs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Instead of the engine's speed, measure memory, hops and time of each preset beside what `check` says
    /// of them, as a table in Markdown; takes some minutes.
    #[arg(long, conflicts_with = "quick")]
    presets: bool,
    /// Measure this row only, in this process.
    #[arg(long, hide = true)]
    row: Option<usize>,
}

/// What was measured of a case.
#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    hops_per_s: f64,
    wall_s: f64,
    /// Of the engine alone, the program itself included.
    peak_bytes: u64,
    /// The engine's hops per second over the heap's.
    heap_ratio: f64,
    heap_hops_per_s: f64,
    /// Seconds of the processor: what the wall time would be if nothing else wanted it.
    cpu_s: f64,
    heap_cpu_s: f64,
    hops: u64,
    /// Targets alive on average.
    targets_alive: f64,
    /// The most mass that a target lacked when it was given up.
    residual: f64,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    quick: bool,
    rows: Vec<Row>,
}

pub(crate) fn run(args: &Bench) -> CommandResult {
    if let Some(row) = args.row {
        let case = Case::ALL.get(row).ok_or("no such row")?;
        println!("{}", serde_json::to_string(&measure(*case, args)?)?);
        return Ok(Exit::Done);
    }
    if args.presets {
        return super::presets::run(args.json);
    }
    let mut rows = Vec::new();
    for index in 0..Case::ALL.len() {
        // A process for each, because a process can't forget the most memory that it ever had.
        let row = in_a_process(index, args)?;
        if !args.json {
            print(&row);
        }
        rows.push(row);
    }
    if args.json {
        let version = env!("CARGO_PKG_VERSION");
        let report = Report {
            version,
            quick: args.quick,
            rows,
        };
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    Ok(Exit::Done)
}

fn in_a_process(row: usize, args: &Bench) -> Result<Row, Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "bench",
        "--row",
        &row.to_string(),
        "--seed",
        &args.seed.to_string(),
    ]);
    if args.quick {
        command.arg("--quick");
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!(
            "the process that measures row {row} ended with {}",
            output.status
        )
        .into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The engine first, so that the peak is its own; then the heap and the engine in turn.
fn measure(case: Case, args: &Bench) -> Result<Row, Box<dyn std::error::Error>> {
    let (mut ours, mut heaps, mut peak) = (Vec::new(), Vec::new(), 0);
    for run in 0..case.runs() {
        ours.push(time(case, args.quick, args.seed, false)?);
        if run == 0 {
            peak = memory::peak().unwrap_or(0);
        }
        heaps.push(time(case, args.quick, args.seed, true)?);
    }
    let (ours, heap) = (median(ours), median(heaps));
    Ok(Row {
        name: case.name().to_owned(),
        hops_per_s: ours.rate(),
        wall_s: ours.wall,
        peak_bytes: peak,
        heap_ratio: ours.rate() / heap.rate(),
        heap_hops_per_s: heap.rate(),
        cpu_s: ours.cpu,
        heap_cpu_s: heap.cpu,
        hops: ours.hops,
        targets_alive: ours.alive,
        residual: ours.residual,
    })
}

/// The run in the middle by speed.
fn median(mut timings: Vec<Timing>) -> Timing {
    timings.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    timings.swap_remove(timings.len() / 2)
}

fn print(row: &Row) {
    println!("{}", row.name);
    println!(
        "  {:.2} million hops/s, {:.2} s ({:.2} s of the processor), {:.0} MB; heap {:.2} million hops/s, ratio {:.2}",
        row.hops_per_s / 1e6,
        row.wall_s,
        row.cpu_s,
        row.peak_bytes as f64 / 1e6,
        row.heap_hops_per_s / 1e6,
        row.heap_ratio,
    );
    println!(
        "  {:.1} targets alive, residual {:.1e}",
        row.targets_alive, row.residual
    );
}
