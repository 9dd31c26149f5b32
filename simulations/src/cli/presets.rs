//! `shoal-sim bench --presets`: what `check` says of each preset beside what a run of it takes.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;
use shoal_simulations::scenario::{PRESETS, Scenario, estimate};

use super::{CommandResult, Exit};

/// A preset, with all of its repetitions one after the other.
#[derive(Serialize)]
struct Row {
    preset: &'static str,
    repetitions: u32,
    estimated_bytes: u64,
    peak_bytes: u64,
    estimated_hops: f64,
    hops: f64,
    estimated_s: f64,
    wall_s: f64,
}

/// Runs each preset in a process of its own, because a process can't forget the most memory that
/// it ever had.
pub(crate) fn run(json: bool) -> CommandResult {
    let mut rows = Vec::new();
    if !json {
        println!(
            "| preset | repetitions | memory, `check` | measured | ratio | hops, `check` | counted | ratio | time, `check` | measured |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
    }
    for preset in PRESETS {
        let row = measured(preset.name, preset.text)?;
        if !json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    Ok(Exit::Done)
}

fn line(row: &Row) -> String {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "| {} | {} | {:.0} MB | {:.0} MB | {:.2} | {:.2e} | {:.2e} | {:.2} | {:.1} s | {:.1} s |",
        row.preset,
        row.repetitions,
        mb(row.estimated_bytes),
        mb(row.peak_bytes),
        mb(row.estimated_bytes) / mb(row.peak_bytes).max(1e-9),
        row.estimated_hops,
        row.hops,
        row.estimated_hops / row.hops.max(1.0),
        row.estimated_s,
        row.wall_s,
    )
}

fn measured(name: &'static str, text: &str) -> Result<Row, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("scenario.toml");
    std::fs::write(&file, text)?;
    let scenario = Scenario::open(&file)?;
    let expected = estimate(&scenario, 1);
    let out = folder.path().join("out");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg(&file).arg("--out").arg(&out);
    command.args(["--threads", "1", "--json"]);
    let output = command.stdout(Stdio::null()).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("the run of {name} failed: {errors}").into());
    }
    let timing = timing(&out)?;
    let number = |key: &str| timing.get(key).and_then(serde_json::Value::as_f64);
    let bytes = timing.get("peak_bytes").and_then(serde_json::Value::as_u64);
    Ok(Row {
        preset: name,
        repetitions: scenario.model().run.repetitions,
        estimated_bytes: expected.bytes,
        peak_bytes: bytes.unwrap_or(0),
        estimated_hops: expected.hops,
        hops: number("hops").unwrap_or(0.0),
        estimated_s: expected.seconds,
        wall_s: number("wall_s").unwrap_or(0.0),
    })
}

fn timing(out: &Path) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(out.join("timing.json"))?;
    Ok(serde_json::from_str(&text)?)
}
