//! The scenario file as it is written, and its ranges.

use std::collections::BTreeMap;

use serde::Deserialize;
use shoal_proto::Span;
use shoal_topology::{Profile, read_toml};

use super::range::{check, number, span};
use super::scenario::{Crashes, FaultKind, PlannedFault, Scenario, Workload, link_delay};
use crate::network::{NetworkError, Who};
use crate::scenario::Problems;

const SECOND: Span = Span::from_secs(1);
const DAY: Span = Span::from_secs(86_400);
const YEAR: Span = Span::from_secs(365 * 86_400);
const MINUTE: Span = Span::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    run: FileRun,
    #[serde(default)]
    network: FileNetwork,
    #[serde(default)]
    client: FileClient,
    #[serde(default)]
    links: FileLinks,
    clients: Vec<FileClients>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
    #[serde(default)]
    workload: Workload,
    churn: Option<FileChurn>,
    #[serde(default)]
    crashes: FileCrashes,
    #[serde(default)]
    faults: Vec<FileFault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileRun {
    seed: u64,
    duration: Span,
    settle: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileNetwork {
    layers: u8,
    width: usize,
    providers: usize,
    epoch: Span,
    mean_delay: Span,
    loop_rate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileClient {
    retry_max: Span,
    time_to_live: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLinks {
    delay: Span,
    jitter: Span,
    loss: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileClients {
    count: usize,
    #[serde(default = "default_profile")]
    profile: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileChurn {
    online: Span,
    offline: Span,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct FileCrashes {
    mixes: Option<FileUpDown>,
    providers: Option<FileUpDown>,
    clients: Option<FileUpDown>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileUpDown {
    up: Span,
    down: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFault {
    kind: FileKind,
    who: Vec<String>,
    with: Option<Vec<String>>,
    delay: Option<Span>,
    jitter: Option<Span>,
    loss: Option<f64>,
    at: Span,
    #[serde(rename = "for")]
    lasting: Option<Span>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum FileKind {
    Partition,
    Crash,
    Offline,
    Loss,
    Delay,
}

impl Default for FileRun {
    fn default() -> Self {
        Self {
            seed: 1,
            duration: MINUTE.scale(5, 1),
            settle: MINUTE.scale(15, 1),
        }
    }
}

impl Default for FileNetwork {
    fn default() -> Self {
        Self {
            layers: 3,
            width: 2,
            providers: 3,
            epoch: MINUTE,
            mean_delay: Span::from_millis(50),
            loop_rate: 0.1,
        }
    }
}

impl Default for FileClient {
    fn default() -> Self {
        Self {
            retry_max: Span::from_secs(30),
            time_to_live: DAY.scale(7, 1),
        }
    }
}

impl Default for FileLinks {
    fn default() -> Self {
        Self {
            delay: Span::from_millis(20),
            jitter: Span::from_millis(20),
            loss: 0.01,
        }
    }
}

fn default_profile() -> String {
    "default".into()
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// When it is not TOML, has a key that does not exist or lacks one, or a value is out of its
    /// range. The error names each key with its value, the range and a hint.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let mut file: File = read_toml(text).map_err(NetworkError::Toml)?;
        let mut problems = Problems::default();
        file.check_spans(&mut problems);
        let faults = std::mem::take(&mut file.faults);
        let mut scenario = file.into_scenario();
        check(&scenario, &mut problems);
        for (index, fault) in faults.into_iter().enumerate() {
            let key = format!("faults[{index}]");
            scenario
                .faults
                .extend(fault.read(&key, &scenario, &mut problems));
        }
        problems.finish().map_err(NetworkError::Values)?;
        Ok(scenario)
    }
}

impl File {
    fn check_spans(&self, problems: &mut Problems) {
        let (month, milli) = (DAY.scale(30, 1), Span::from_millis(1));
        let (network, client, links) = (&self.network, &self.client, &self.links);
        for (key, value, least, most) in [
            ("run.duration", self.run.duration, SECOND, month),
            ("run.settle", self.run.settle, SECOND, month),
            (
                "network.epoch",
                network.epoch,
                SECOND.scale(10, 1),
                DAY.scale(7, 1),
            ),
            (
                "network.mean_delay",
                network.mean_delay,
                milli,
                SECOND.scale(10, 1),
            ),
            ("client.retry_max", client.retry_max, milli, YEAR),
            ("client.time_to_live", client.time_to_live, SECOND, YEAR),
            ("links.delay", links.delay, Span::ZERO, MINUTE),
            ("links.jitter", links.jitter, Span::ZERO, MINUTE),
        ] {
            span(problems, key, value, (least, most));
        }
        if let Some(churn) = &self.churn {
            span(problems, "churn.online", churn.online, (SECOND, YEAR));
            span(problems, "churn.offline", churn.offline, (SECOND, YEAR));
        }
        let crashes = &self.crashes;
        for (kind, times) in [
            ("mixes", &crashes.mixes),
            ("providers", &crashes.providers),
            ("clients", &crashes.clients),
        ] {
            if let Some(times) = times {
                span(
                    problems,
                    format!("crashes.{kind}.up"),
                    times.up,
                    (SECOND, YEAR),
                );
                span(
                    problems,
                    format!("crashes.{kind}.down"),
                    times.down,
                    (SECOND, YEAR),
                );
            }
        }
    }

    fn into_scenario(self) -> Scenario {
        let times = |times: Option<FileUpDown>| times.map(|times| (times.up, times.down));
        let clients = self.clients.into_iter();
        Scenario {
            seed: self.run.seed,
            duration: self.run.duration,
            settle: self.run.settle,
            layers: self.network.layers,
            width: self.network.width,
            providers: self.network.providers,
            epoch: self.network.epoch,
            mean_delay: self.network.mean_delay,
            loop_rate: self.network.loop_rate,
            retry_max: self.client.retry_max,
            time_to_live: self.client.time_to_live,
            delay: link_delay(self.links.delay, self.links.jitter),
            loss: self.links.loss,
            clients: clients.map(|class| (class.count, class.profile)).collect(),
            profiles: self.profiles,
            workload: self.workload,
            churn: self.churn.map(|churn| (churn.online, churn.offline)),
            crashes: Crashes {
                mixes: times(self.crashes.mixes),
                providers: times(self.crashes.providers),
                clients: times(self.crashes.clients),
            },
            faults: Vec::new(),
        }
    }
}

impl FileFault {
    /// The fault; none if something is wrong with it, which is noted.
    fn read(self, key: &str, scenario: &Scenario, problems: &mut Problems) -> Option<PlannedFault> {
        let sub = |name: &str| format!("{key}.{name}");
        self.check_keys(key, problems);
        let who = parties(problems, &sub("who"), &self.who, scenario);
        span(
            problems,
            sub("at"),
            self.at,
            (Span::ZERO, scenario.duration),
        );
        if let Some(lasting) = self.lasting {
            span(problems, sub("for"), lasting, (Span::from_millis(1), YEAR));
        }
        let kind = match self.kind {
            FileKind::Partition => FaultKind::Partition,
            FileKind::Crash => FaultKind::Crash,
            FileKind::Offline => {
                if who.iter().flatten().any(|who| !who.is_clients()) {
                    let named = format!("{:?}", self.who);
                    let hint = "nodes are always online; crash them, or cut them off";
                    problems.refuse_with_hint(sub("who"), named, "must be clients", hint);
                }
                FaultKind::Offline
            }
            FileKind::Loss | FileKind::Delay => self.link(key, scenario, problems)?,
        };
        Some(PlannedFault {
            kind,
            who: who?,
            at: self.at,
            lasting: self.lasting,
        })
    }

    fn link(&self, key: &str, scenario: &Scenario, problems: &mut Problems) -> Option<FaultKind> {
        let sub = |name: &str| format!("{key}.{name}");
        let (delay, jitter) = (
            self.delay.unwrap_or_default(),
            self.jitter.unwrap_or_default(),
        );
        span(problems, sub("delay"), delay, (Span::ZERO, MINUTE));
        span(problems, sub("jitter"), jitter, (Span::ZERO, MINUTE));
        let loss = self.loss.unwrap_or(0.0);
        number(problems, sub("loss"), loss, 1.0, "a probability");
        let with = match &self.with {
            Some(with) => parties(problems, &sub("with"), with, scenario)?,
            None => Vec::new(),
        };
        Some(FaultKind::Link {
            with,
            delay: link_delay(delay, jitter),
            loss,
        })
    }

    /// Keys that this kind of fault has not got.
    fn check_keys(&self, key: &str, problems: &mut Problems) {
        let links = matches!(self.kind, FileKind::Loss | FileKind::Delay);
        let slow = self.kind == FileKind::Delay;
        for (name, unused) in [
            ("with", self.with.is_some() && !links),
            ("loss", self.loss.is_some() && self.kind != FileKind::Loss),
            ("delay", self.delay.is_some() && !slow),
            ("jitter", self.jitter.is_some() && !slow),
        ] {
            if unused {
                let reason = "this kind of fault has no such key";
                problems.contradiction(format!("{key}.{name}"), reason, "remove it");
            }
        }
    }
}

fn parties(
    problems: &mut Problems,
    key: &str,
    names: &[String],
    scenario: &Scenario,
) -> Option<Vec<Who>> {
    let mixes = usize::from(scenario.layers) * scenario.width;
    let allowed = "must be as \"mixes\", \"mix 0\", \"provider 1\", \"clients 0-3\"";
    if names.is_empty() {
        problems.refuse_with_hint(key, "[]", allowed, "name somebody");
        return None;
    }
    let mut parties = Vec::new();
    for name in names {
        let who = Who::parse(name)
            .filter(|who| who.fits(mixes, scenario.providers, scenario.client_count()));
        if who.is_none() {
            let hint = "places count from 0, and have to exist";
            problems.refuse_with_hint(key, format!("\"{name}\""), allowed, hint);
        }
        parties.extend(who);
    }
    (parties.len() == names.len()).then_some(parties)
}
