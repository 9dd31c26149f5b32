//! The commands of `shoal`: one file each.

mod args;
mod client;
mod cost;
mod demo;
mod error;
mod init;
mod network;
mod node;
mod output;
mod template;

use std::process::ExitCode;

use clap::Parser;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

pub use error::CliError;

use self::args::{Cli, Command};

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // It knows whether this is help or a mistake; nobody may be there to read it.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let json = cli.json;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, json);
            ExitCode::from(&error)
        }
    }
}

fn run(cli: Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::failed)?;
    let json = cli.json;
    runtime.block_on(async {
        match cli.command {
            Command::Init(args) => init::run(&args, json),
            Command::Network(command) => network::run(&command, json),
            Command::Node(command) => node::run(command, cli.log_level, json).await,
            Command::Client(command) => client::run(command, cli.log_level, json).await,
            Command::Demo(args) => demo::run(args, json).await,
        }
    })
}

fn report(error: &CliError, json: bool) {
    if json {
        let value = serde_json::json!({
            "error": { "kind": error.kind(), "message": error.to_string() }
        });
        output::note(&value.to_string());
    } else {
        output::note(&format!("shoal: {error}"));
    }
}

/// The variables that configure us.
fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os()
        .filter_map(text)
        .filter(|(name, _)| name.starts_with("SHOAL_"))
        .collect()
}

/// A generator for keys and choices, seeded by the system.
fn seeded() -> Result<ChaCha20Rng, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|error| {
        CliError::Failed(anyhow::anyhow!("the system has no randomness: {error}"))
    })?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
