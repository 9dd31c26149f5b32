//! `shoal-sim check`: whether a scenario can be run, and what it will take.

use std::path::PathBuf;

use clap::Args;
use shoal_simulations::scenario::Scenario;

use super::{CommandResult, Exit};

/// Checks a scenario and says the memory and time that it will take.
#[derive(Args)]
pub(crate) struct Check {
    /// The scenario, TOML, or JSON if its name ends in .json.
    scenario: PathBuf,
}

pub(crate) fn run(command: &Check) -> CommandResult {
    let scenario = Scenario::open(&command.scenario)?;
    for warning in scenario.warnings() {
        eprintln!("warning: {warning}");
    }
    println!("scenario  {}", scenario.hash());
    Ok(Exit::Done)
}
