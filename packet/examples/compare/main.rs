//! How long packets take here and with the crate `sphinx-packet`, the reference, measured in
//! turns within one run and with every output compared.
//!
//! `cargo run --release -p shoal-packet --example compare` prints a table, with `-- --json` one
//! JSON object; `-- --help` says the rest.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what this program is for"
)]

mod measure;
mod setup;

use measure::Row;
use shoal_packet::Backend;
use std::error::Error;
use std::process::ExitCode;

const HELP: &str = "\
Measures this crate against sphinx-packet: medians in microseconds per packet.

Usage: compare [--json] [--backend NAME]

  --json          one JSON object: rows, each with name, ours_us, reference_us, ratio, backend
  --backend NAME  every row with this back end: portable, scalar or ifma. Without it each row
                  takes the one it is about, or the best there is if this machine lacks it
  --help          this text";

/// Wrong arguments, or a back end that this machine has not got.
const USAGE: u8 = 2;

#[derive(Default)]
struct Options {
    json: bool,
    help: bool,
    backend: Option<Backend>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("compare: {error}");
            return ExitCode::from(USAGE);
        }
    };
    if options.help {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match measure::rows(options.backend) {
        Ok(rows) if options.json => print_json(&rows, options.backend),
        Ok(rows) => print_table(&rows, options.backend),
        Err(error) => {
            eprintln!("compare: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => options.json = true,
            "--help" | "-h" => options.help = true,
            "--backend" => {
                let name = arguments.next().ok_or("--backend needs a name")?;
                options.backend = Some(available(&name)?);
            }
            other => match other.strip_prefix("--backend=") {
                Some(name) => options.backend = Some(available(name)?),
                None => return Err(format!("unknown argument {other:?}, see --help").into()),
            },
        }
    }
    Ok(options)
}

fn available(name: &str) -> Result<Backend, Box<dyn Error>> {
    let backend = name.parse::<Backend>()?;
    shoal_packet::Engine::with(backend)?;
    Ok(backend)
}

/// What a reader has to know in order not to take the figures for something else.
fn note(forced: Option<Backend>) -> Option<String> {
    match forced {
        Some(backend) => Some(format!("every row was told to use the back end {backend}")),
        None if Backend::Ifma.is_available() => None,
        None => Some(format!(
            "the back end {} is not available on this machine: rows about it were measured with {}",
            Backend::Ifma,
            Backend::best()
        )),
    }
}

fn print_json(rows: &[Row], forced: Option<Backend>) {
    let rounded = |value: f64| (value * 1e3).round() / 1e3;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "name": row.name,
                "ours_us": rounded(row.ours_us),
                "reference_us": rounded(row.reference_us),
                "ratio": rounded(row.ratio()),
                "backend": row.backend.name(),
            })
        })
        .collect();
    let object = serde_json::json!({
        "rows": rows,
        "best_backend": Backend::best().name(),
        "note": note(forced),
    });
    println!("{object}");
}

fn print_table(rows: &[Row], forced: Option<Backend>) {
    println!(
        "{:<52} {:>9} {:>10} {:>6}  back end",
        "microseconds per packet, medians", "ours", "reference", "ratio"
    );
    for row in rows {
        println!(
            "{:<52} {:>9.2} {:>10.2} {:>6.2}  {}",
            row.name,
            row.ours_us,
            row.reference_us,
            row.ratio(),
            row.backend
        );
    }
    if let Some(note) = note(forced) {
        println!("{note}");
    }
}
