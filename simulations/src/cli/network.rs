//! `shoal-sim network`.

use std::error::Error;
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use shoal_simulations::input::{MAX_SCENARIO_BYTES, read_text};
use shoal_simulations::network::{self, Failure, PRESET, Progress, Report, Scenario, Summary};

use super::{CommandResult, Exit};

/// Runs the real clients, mixes, providers and directory in virtual time, with loss, delay, churn,
/// partitions and crashes, and checks that they keep their promises.
#[derive(Args)]
pub(crate) struct NetworkArgs {
    /// The scenario, a TOML file.
    #[arg(required_unless_present = "new")]
    scenario: Option<PathBuf>,
    /// Everything random follows from it; the scenario's by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes summary.json and the table of messages into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Writes a commented scenario with every key into this new file, and does nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    new: Option<PathBuf>,
}

pub(crate) fn run(args: &NetworkArgs) -> CommandResult {
    match (&args.new, &args.scenario) {
        (Some(path), _) => write_preset(path),
        (None, Some(path)) => simulate(args, path),
        (None, None) => Ok(Exit::Refused),
    }
}

fn write_preset(path: &Path) -> CommandResult {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    match opened {
        Ok(mut file) => file.write_all(PRESET.as_bytes())?,
        Err(error) => {
            eprintln!("error: {}: {error} (name a new file)", path.display());
            return Ok(Exit::Refused);
        }
    }
    Ok(Exit::Done)
}

fn simulate(args: &NetworkArgs, path: &Path) -> CommandResult {
    let refused = |error: &dyn Error| {
        eprintln!("error: {}: {error}", path.display());
        let mut source = error.source();
        while let Some(error) = source {
            eprintln!("  because: {error}");
            source = error.source();
        }
        Ok(Exit::Refused)
    };
    let text = match read_text(path, MAX_SCENARIO_BYTES) {
        Ok(text) => text,
        Err(error) => return refused(&error),
    };
    let scenario = match Scenario::parse(&text) {
        Ok(scenario) => scenario,
        Err(error) => return refused(&error),
    };
    let seed = args.seed.unwrap_or(scenario.seed);
    let bar = progress_bar();
    let report = match network::run(&scenario, seed, |progress| show(&bar, progress)) {
        Ok(report) => report,
        Err(error) => return refused(&error),
    };
    bar.finish_and_clear();
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)?;
        report.write(folder)?;
    }
    if args.json {
        println!("{}", report.summary.to_json());
    } else {
        print(&report.summary);
    }
    match &report.failure {
        None => Ok(Exit::Done),
        Some(failure) => Err(complaint(failure, &report, path, seed).into()),
    }
}

fn complaint(failure: &Failure, report: &Report, path: &Path, seed: u64) -> String {
    let Failure {
        what, after, epoch, ..
    } = failure;
    format!(
        "a promise was not kept: {what}\n  after: {:.3} s of virtual time, in epoch {}\n  seed: \
         {seed}\n  trace: {}\n  replay: shoal-sim network {} --seed {seed}",
        after.as_secs_f64(),
        epoch.number(),
        report.summary.trace_hash,
        path.display(),
    )
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}  {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    let secs = |span: shoal_proto::Span| span.as_micros() / 1_000_000;
    bar.set_length(secs(progress.duration).max(secs(progress.done)));
    bar.set_position(secs(progress.done));
    bar.set_message(format!(
        "{} of {} messages received",
        progress.received, progress.sent
    ));
}

fn print(summary: &Summary) {
    let count = |name: &str| summary.messages.get(name).copied().unwrap_or(0);
    println!(
        "{} messages sent: {} accepted, {} stored, {} received, {} expired",
        count("sent"),
        count("accepted"),
        count("stored"),
        count("received"),
        count("expired"),
    );
    for (name, times) in [
        ("stored", summary.stored_after_s),
        ("received", summary.received_after_s),
    ] {
        if let Some(times) = times {
            println!(
                "{name} after: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s",
                times.p50, times.p90, times.p99
            );
        }
    }
    println!(
        "{:.0} s of virtual time, {} epochs, {} documents, {} crashes, {} times offline",
        summary.virtual_s,
        summary.epochs,
        summary.documents,
        summary.faults.get("crashes").copied().unwrap_or(0),
        summary.faults.get("offline").copied().unwrap_or(0),
    );
    println!(
        "books {} at {} checks; seed {}, trace {} of {} lines",
        summary.books, summary.checks, summary.seed, summary.trace_hash, summary.trace_lines
    );
}
