//! The commands of `shoal`: one file each. Only the binary has them: what they call is the library's,
//! and knows nothing of a command line.

mod args;
mod bench;
mod chat;
mod client;
mod contact;
mod cost;
mod demo;
mod directory;
mod family;
mod file;
mod identity;
mod init;
mod launch;
mod manual;
mod messagebox;
mod network;
mod network_copy;
mod node;
mod output;
mod patient;
mod provider;
mod secret;
mod template;
mod text;
mod web;

use std::process::ExitCode;

use clap::Parser;
use shoal_node::Failure;

use self::args::{Cli, Command};

/// Parses the command line and does what it says.
#[must_use]
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.exit_code() != 0 && asks_for_json(std::env::args_os()) => {
            let words = error.to_string();
            let mistake = Failure::Usage(anyhow::anyhow!("{}", words.trim_end()));
            report(&mistake, true);
            return ExitCode::from(&mistake);
        }
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

/// Whether a command line that can't be parsed has the flag `--json`.
fn asks_for_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let flags = arguments.take_while(|argument| argument != "--");
    flags.into_iter().any(|argument| argument == "--json")
}

fn run(cli: Cli) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let json = cli.json;
    runtime.block_on(async {
        match cli.command {
            Command::Init(args) => init::run(&args, json),
            Command::Family(command) => family::run(&command, json),
            Command::Network(command) => network::run(&command, json).await,
            Command::Directory(command) => directory::run(&command, json).await,
            Command::Node(command) => node::run(command, cli.log_level, json).await,
            Command::Provider(command) => provider::run(command, json).await,
            Command::Daemon(args) => client::daemon(args, cli.log_level, json).await,
            Command::Chat(args) => chat::run(args, json).await,
            Command::Client(command) => client::run(command, json).await,
            Command::Contact(command) => contact::run(command, json).await,
            Command::Identity(command) => identity::run(&command, json),
            Command::File(command) => file::run(command, json).await,
            Command::Web(args) => web::run(&args, json).await,
            Command::Messagebox(command) => messagebox::run(command, json).await,
            Command::Demo(args) => demo::run(args, json).await,
            Command::Bench(command) => bench::run(command, json).await,
            Command::Completions(args) => manual::completions(&args),
            Command::Man(args) => manual::man(&args),
        }
    })
}

/// Says what went wrong: to programs where they read the rest, to people beside it.
fn report(error: &Failure, json: bool) {
    if matches!(error, Failure::Unread) {
        return; // Nobody is there, by somebody's own wish.
    }
    if json && matches!(error, Failure::Told { .. }) {
        return; // One object is on standard output already.
    }
    if json {
        // Nobody may be there to read it; the exit code says it too.
        let _ = output::print(&error.to_json().to_string());
    } else {
        output::note(&format!("shoal: {error}"));
    }
}
