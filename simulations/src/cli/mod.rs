//! The commands, one file each.

mod merge;
mod network;
mod progress;
mod sweep;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
pub(crate) type CommandResult = Result<Exit, Box<dyn std::error::Error>>;

/// Simulates mixnets and measures their anonymity, latency and cost.
#[derive(Parser)]
#[command(name = "shoal-sim", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Network(network::NetworkArgs),
    Sweep(sweep::SweepArgs),
    Merge(merge::MergeArgs),
}

pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Network(args) => network::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Merge(args) => merge::run(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            complain(error.as_ref());
            ExitCode::from(1)
        }
    }
}

/// Prints an error with its causes.
pub(crate) fn complain(error: &dyn std::error::Error) {
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        eprintln!("  because: {error}");
        source = error.source();
    }
}
