//! `shoal network check`: everything that is wrong or unwise with a network's file, as one table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::config::read_network;
use shoal_node::runtime::Clock;
use shoal_node::{Exit, Failure};

use super::findings::{Finding, Level, findings};
use crate::cli::args::NetworkCheck;
use crate::cli::cost::{self, Cost};
use crate::cli::{output, text};

/// What `shoal network check --json` prints.
#[derive(Serialize)]
struct Checked {
    file: String,
    /// The network's name and hash, if the whole file could be read.
    name: Option<String>,
    hash: Option<String>,
    /// Whether a network can run with it: there is no error.
    runs: bool,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding>,
    profiles: BTreeMap<String, Cost>,
}

pub(super) fn run(args: &NetworkCheck, json: bool) -> Result<(), Failure> {
    let file = read_network(&args.file).map_err(Failure::usage)?;
    let findings = findings(&file, Clock::start().now());
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    // With a mistake of form the parameters are not those of the file.
    let whole = file.params().filter(|_| file.wrong().is_empty());
    let checked = Checked {
        file: args.file.display().to_string(),
        name: whole.map(|params| params.name.clone()),
        hash: whole.map(|params| params.hash().to_string()),
        runs: errors == 0,
        errors,
        warnings,
        profiles: whole.map(Cost::of_all).unwrap_or_default(),
        findings,
    };
    output::show(json, &checked, &in_words(&checked))?;
    let told = |exit, what: String| {
        let error = anyhow!("{}: {what}", checked.file);
        Err(Failure::Told { exit, error })
    };
    match (errors, warnings) {
        (1.., _) => told(
            Exit::Usage,
            format!("{}; no network can run with it", plural(errors, "error")),
        ),
        (0, 1..) if args.strict => told(Exit::Warned, plural(warnings, "warning")),
        _ => Ok(()),
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn in_words(checked: &Checked) -> String {
    let mut words = String::new();
    if let (Some(name), Some(hash)) = (&checked.name, &checked.hash) {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(words, "network {name}, hash {hash}\n");
    }
    let _ = writeln!(words, "{:>5}  {:<8} what, and what to do", "line", "");
    for finding in &checked.findings {
        let line = finding
            .line
            .map_or_else(|| "-".to_owned(), |line| line.to_string());
        // What somebody else wrote may be in it.
        let what = text::escaped(finding.what.as_bytes());
        let mut what = what.lines();
        let first = what.next().unwrap_or_default();
        let _ = writeln!(words, "{line:>5}  {:<8} {first}", finding.level);
        for more in what.chain(finding.advice) {
            let _ = writeln!(words, "{:>16}  {more}", "");
        }
    }
    let _ = writeln!(
        words,
        "\n{}, {}: {}",
        plural(checked.errors, "error"),
        plural(checked.warnings, "warning"),
        if checked.runs {
            "a network can run with it"
        } else {
            "no network can run with it"
        }
    );
    if !checked.profiles.is_empty() {
        let _ = write!(words, "\n{}", cost::table(&checked.profiles));
    }
    words
}
