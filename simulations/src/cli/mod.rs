//! The commands, one file each.

#[macro_use]
mod terminal;

mod advise;
mod bench;
mod check;
mod manual;
mod merge;
mod network;
mod new;
mod plot;
mod presets;
mod profiles;
mod progress;
mod reproduce;
mod run;
mod sweep;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};
use shoal_simulations::run::RunError;
use shoal_simulations::scenario::ScenarioError;
use shoal_simulations::sweep::SweepError;

/// How a command ends: 0 done, 1 something failed, 2 the input was refused, 3 the answer is no (a
/// gated point does not hold, or nothing fits what was asked for).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit {
    Done,
    Refused,
    No,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Refused => Self::from(2),
            Exit::No => Self::from(3),
        }
    }
}

/// What a command gives back: an error is printed with its causes, and the exit code is 1.
pub(crate) type CommandResult = Result<Exit, Box<dyn Error>>;

/// Simulates mixnets and measures their anonymity, latency and cost.
#[derive(Parser)]
#[command(name = "shoal-sim", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Advise(advise::Advise),
    New(new::New),
    Check(check::Check),
    Run(run::RunArgs),
    Network(network::NetworkArgs),
    Reproduce(reproduce::ReproduceArgs),
    Bench(bench::Bench),
    Plot(plot::PlotArgs),
    Profiles(profiles::ProfilesArgs),
    Sweep(sweep::SweepArgs),
    Merge(merge::MergeArgs),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// The most threads that may be asked for.
const MAX_THREADS: usize = 1024;

/// A number of threads.
fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|threads| *threads <= MAX_THREADS);
    number.ok_or_else(|| format!("has to be 0 to {MAX_THREADS}"))
}

pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Advise(args) => advise::run(&args),
        Command::New(args) => new::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Network(args) => network::run(&args),
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Profiles(args) => profiles::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    let printed = terminal::finish();
    match (result, printed) {
        (Err(error), _) => failed(&*error),
        (Ok(_), Err(error)) => {
            eprintln!("error: can't write to standard output: {error}");
            ExitCode::FAILURE
        }
        (Ok(exit), Ok(())) => exit.into(),
    }
}

/// Prints an error with its causes. A scenario or a sweep that is refused is the input's fault.
fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    let run = error.downcast_ref().is_some_and(RunError::is_refusal);
    let sweep = error.downcast_ref().is_some_and(SweepError::is_refusal);
    if run || sweep || error.is::<ScenarioError>() {
        Exit::Refused.into()
    } else {
        ExitCode::FAILURE
    }
}
