//! `shoal provider store verify`.

use std::fmt::Write as _;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::{Exit, Failure};
use shoal_provider::{Report, Step};

use super::place::Found;
use crate::cli::args::StoreVerify;
use crate::cli::output;
use crate::cli::patient::interruptible;

/// Files of more bytes take long enough to say what is done meanwhile.
const LARGE: u64 = 64 << 20;

/// What `shoal provider store verify --json` prints.
#[derive(Serialize)]
struct Verified {
    database: String,
    sound: bool,
    mailboxes: u64,
    entries: u64,
    remembered: u64,
    faults: Vec<Fault>,
    exceeded: Vec<Exceeded>,
}

#[derive(Serialize)]
struct Fault {
    step: &'static str,
    kind: &'static str,
    what: String,
    rows: u64,
    first: Option<i64>,
}

#[derive(Serialize)]
struct Exceeded {
    quota: &'static str,
    allowed: u64,
    found: u64,
}

pub(super) async fn run(args: StoreVerify, json: bool) -> Result<(), Failure> {
    let (found, report) = interruptible(move || {
        let found = Found::of(&args.place)?;
        let report = report(&found)?;
        Ok((found, report))
    })
    .await?;
    let verified = verified(&found, &report);
    output::show(json, &verified, &in_words(&verified, &report))?;
    let advice = match found.is_file() {
        true => {
            "Keep the file and its -wal file as they are, and restore a backup, or start empty with both moved away; look \
             at the disk and the system's log"
        }
        false => {
            "Keep the schema as it is, restore a backup of the mailboxes into another database (docs/operators.md, Mailboxes in \
             PostgreSQL), and look at the server's disk and log; `pg_amcheck` checks its files"
        }
    };
    match report.is_sound() {
        true => Ok(()),
        false => Err(Failure::Told {
            exit: Exit::Damaged,
            error: anyhow!("{}: the store is damaged. {advice}", found.name),
        }),
    }
}

fn report(found: &Found) -> Result<Report, Failure> {
    let store = found.look()?;
    // Damage may keep it from being counted: then it is found below.
    let files = store.stats().map(|stats| stats.files).unwrap_or_default();
    let large = files.iter().map(|(_, bytes)| bytes).sum::<u64>() > LARGE;
    let mut step = |step: Step| {
        if large {
            let at = Step::ALL.iter().position(|one| *one == step).unwrap_or(0);
            output::note(&format!(
                "step {} of {}: {}",
                at + 1,
                Step::ALL.len(),
                step.as_str()
            ));
        }
    };
    let limits = found.limits.clone().unwrap_or_default();
    let report = store.verify(&limits, &mut step);
    let mut report = report.map_err(|error| found.failure(error))?;
    if found.limits.is_none() {
        report.exceeded.clear(); // Nobody has said what is allowed.
    }
    Ok(report)
}

fn verified(found: &Found, report: &Report) -> Verified {
    let faults = report.faults.iter().map(|fault| Fault {
        step: fault.step.as_str(),
        kind: fault.kind,
        what: fault.what.clone(),
        rows: fault.rows,
        first: fault.first,
    });
    let exceeded = report.exceeded.iter().map(|one| Exceeded {
        quota: one.quota,
        allowed: one.most,
        found: one.found,
    });
    Verified {
        database: found.name.clone(),
        sound: report.is_sound(),
        mailboxes: report.counted.mailboxes,
        entries: report.counted.entries,
        remembered: report.counted.remembered,
        faults: faults.collect(),
        exceeded: exceeded.collect(),
    }
}

fn in_words(verified: &Verified, report: &Report) -> String {
    let mut words = String::new();
    // Writing to a string does not fail.
    for fault in &report.faults {
        let _ = writeln!(words, "fault    {}: {fault}", fault.step.as_str());
    }
    for exceeded in &report.exceeded {
        let _ = writeln!(words, "quota    {exceeded}");
    }
    let _ = writeln!(
        words,
        "{:<8} {}: {} mailboxes, {} entries that wait, {} remembered",
        match verified.sound {
            true => "sound",
            false => "DAMAGED",
        },
        verified.database,
        verified.mailboxes,
        verified.entries,
        verified.remembered
    );
    words
}
