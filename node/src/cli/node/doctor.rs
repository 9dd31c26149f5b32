//! `shoal node doctor`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use shoal_node::config::{NodeConfig, NodeFlags};
use shoal_node::control::ControlError;
use shoal_node::control::protocol::NodeStatus;
use shoal_node::doctor::{Finding, Level, Patient, Running, examine};
use shoal_node::{Exit, Failure};

use super::status;
use crate::cli::args::NodeDoctor;
use crate::cli::launch::{directory, environment, overrides, path_text};
use crate::cli::output;

/// How long what runs may take to say how it is; it answers in less than its own patience with its loop.
const ANSWER: Duration = Duration::from_secs(10);

/// What `shoal node doctor --json` prints.
#[derive(Serialize)]
struct Examined {
    dir: String,
    /// Whether nothing keeps the node from its work: there is no error.
    well: bool,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding>,
    /// What the node says itself, if it runs.
    status: Option<NodeStatus>,
}

pub(super) async fn run(args: &NodeDoctor, json: bool) -> Result<(), Failure> {
    let dir = directory(&args.place);
    let network = path_text("--network", args.network.network.as_deref())?;
    let flags = NodeFlags {
        dir: dir.clone(),
        config: args.place.config.clone(),
        overrides: overrides([("network", "network", network)]),
    };
    let patient = Patient {
        config: NodeConfig::load(&flags, &environment()?),
        running: running(&dir).await,
        dir,
        patience: args.timeout,
    };
    let findings = examine(&patient).await;
    let count = |level| {
        let found = findings.iter().filter(|finding| finding.level == level);
        found.count()
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let examined = Examined {
        dir: patient.dir.display().to_string(),
        well: errors == 0,
        errors,
        warnings,
        status: match patient.running {
            Running::Yes(status) => Some(*status),
            _ => None,
        },
        findings,
    };
    output::show(json, &examined, &in_words(&examined))?;
    match errors {
        0 => Ok(()),
        _ => Err(Failure::Told {
            exit: Exit::NotReady,
            error: anyhow!(
                "{}: what is marked as error keeps the node from its work",
                examined.dir
            ),
        }),
    }
}

async fn running(dir: &std::path::Path) -> Running {
    match tokio::time::timeout(ANSWER, status::ask(dir)).await {
        Ok(Ok(status)) => Running::Yes(Box::new(status)),
        Ok(Err(ControlError::NotRunning(_))) => Running::No,
        Ok(Err(error)) => Running::Silent(error.to_string()),
        Err(_) => Running::Silent("no answer in time".to_owned()),
    }
}

fn in_words(examined: &Examined) -> String {
    let mut words = String::new();
    for Finding { level, about, what } in &examined.findings {
        // Writing to a string does not fail.
        let _ = writeln!(words, "{level:<8} {about:<8} {what}");
    }
    words
}
