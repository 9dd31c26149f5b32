//! `shoal-sim check`: whether a scenario can be run, and what it will take.

use std::{path::PathBuf, thread::available_parallelism};

use clap::Args;
use serde_json::json;
use shoal_simulations::{
    memory::{self, Available},
    scenario::{Estimate, Scenario, estimate},
};

use super::{CommandResult, Exit};

/// Checks a scenario and says the memory and time that it will take. It ends with 2 if the scenario
/// is refused or does not fit into the memory that is there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  shoal-sim check loopix.toml
  shoal-sim check loopix.toml --threads 1 --json | jq .estimate.bytes")]
pub(crate) struct Check {
    /// The scenario, TOML, or JSON if its name ends in .json.
    scenario: PathBuf,
    /// Threads that the run will use, each for one repetition at a time; 0 for as many as there
    /// are cores.
    #[arg(long, default_value_t = 0, value_parser = super::threads)]
    threads: usize,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &Check) -> CommandResult {
    let scenario = Scenario::open(&command.scenario)?;
    let threads = match command.threads {
        0 => available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let all = estimate(&scenario, threads);
    let one = estimate(&scenario, 1);
    let available = memory::available();
    let fits = available.is_none_or(|available| available.holds(one.bytes));
    if command.json {
        let found = json!({
            "hash": scenario.hash(),
            "warnings": scenario.warnings(),
            "estimate": all,
            "bytes_of_one": one.bytes,
            "bytes_available": available.map(|available| available.bytes),
            "bytes_limit": available.map(|available| available.limit.to_string()),
            "fits": fits,
        });
        println!("{found:#}");
    } else {
        print(&scenario, &all, available);
    }
    if let Some(available) = available.filter(|_| !fits) {
        eprintln!(
            "error: one repetition needs about {}, perhaps a quarter more, and {} are {} (fewer clients, lower rates, fewer targets alive, or a shorter run with entropy_backward)",
            bytes(one.bytes),
            bytes(available.bytes),
            available.limit,
        );
        return Ok(Exit::Refused);
    }
    Ok(Exit::Done)
}

fn print(scenario: &Scenario, estimate: &Estimate, available: Option<Available>) {
    for warning in scenario.warnings() {
        eprintln!("warning: {warning}");
    }
    let free = available.map_or_else(String::new, |available| {
        format!(", {} {}", bytes(available.bytes), available.limit)
    });
    let repetitions = scenario.model().run.repetitions;
    println!("scenario  {}", scenario.hash());
    println!(
        "hops      {:.3e} in {repetitions} repetitions, {} at a time",
        estimate.hops, estimate.at_once
    );
    println!("memory    about {}{free}", bytes(estimate.bytes));
    println!("time      about {}", time(estimate.seconds));
    println!("basis     {}", estimate.basis);
}

#[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
pub(super) fn bytes(count: u64) -> String {
    let count = count as f64;
    if count >= 1e9 {
        format!("{:.2} GB", count / 1e9)
    } else {
        format!("{:.0} MB", count / 1e6)
    }
}

pub(super) fn time(seconds: f64) -> String {
    if seconds >= 172_800.0 {
        format!("{:.1} days", seconds / 86_400.0)
    } else if seconds >= 7200.0 {
        format!("{:.1} h", seconds / 3600.0)
    } else if seconds >= 120.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{seconds:.1} s")
    }
}
