//! The scenario file as it is written, and its ranges.

use std::collections::BTreeMap;

use serde::Deserialize;
use shoal_proto::Span;
use shoal_topology::Profile;

use super::range::{check, number, span, wrong};
use super::scenario::{
    Crashes, FaultKind, PlannedFault, Receivers, Scenario, Workload, link_delay, written,
};
use crate::network::{NetworkError, Who};

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
    profiles: BTreeMap<String, FileProfile>,
    #[serde(default)]
    workload: FileWorkload,
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
    duration: String,
    settle: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileNetwork {
    layers: u8,
    width: usize,
    providers: usize,
    epoch: String,
    mean_delay: String,
    loop_rate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileClient {
    retry_after: String,
    retry_max: String,
    time_to_live: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLinks {
    delay: String,
    jitter: String,
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
struct FileProfile {
    real: f64,
    loops: f64,
    drops: f64,
    mailbox: f64,
    mailbox_clock: f64,
    downlink: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileWorkload {
    messages_per_minute: f64,
    bytes: usize,
    to: Receivers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileChurn {
    online: String,
    offline: String,
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
    up: String,
    down: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileFault {
    kind: FileKind,
    who: Vec<String>,
    with: Option<Vec<String>>,
    delay: Option<String>,
    jitter: Option<String>,
    loss: Option<f64>,
    at: String,
    #[serde(rename = "for")]
    lasting: Option<String>,
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
            duration: "5m".into(),
            settle: "15m".into(),
        }
    }
}

impl Default for FileNetwork {
    fn default() -> Self {
        Self {
            layers: 3,
            width: 2,
            providers: 3,
            epoch: "1m".into(),
            mean_delay: "50ms".into(),
            loop_rate: 0.1,
        }
    }
}

impl Default for FileClient {
    fn default() -> Self {
        Self {
            retry_after: "8s".into(),
            retry_max: "30s".into(),
            time_to_live: "7d".into(),
        }
    }
}

impl Default for FileLinks {
    fn default() -> Self {
        Self {
            delay: "20ms".into(),
            jitter: "20ms".into(),
            loss: 0.01,
        }
    }
}

impl Default for FileWorkload {
    fn default() -> Self {
        Self {
            messages_per_minute: 2.0,
            bytes: 100,
            to: Receivers::default(),
        }
    }
}

fn default_profile() -> String {
    "default".into()
}

pub(super) fn read(text: &str) -> Result<Scenario, NetworkError> {
    let file: File = toml::from_str(text).map_err(|error| NetworkError::Toml(error.to_string()))?;
    let mut scenario = Scenario {
        seed: file.run.seed,
        duration: span("run.duration", &file.run.duration, SECOND, DAY.scale(30, 1))?,
        settle: span("run.settle", &file.run.settle, SECOND, DAY.scale(30, 1))?,
        layers: file.network.layers,
        width: file.network.width,
        providers: file.network.providers,
        epoch: span(
            "network.epoch",
            &file.network.epoch,
            SECOND.scale(10, 1),
            DAY.scale(7, 1),
        )?,
        mean_delay: span(
            "network.mean_delay",
            &file.network.mean_delay,
            Span::from_millis(1),
            SECOND.scale(10, 1),
        )?,
        loop_rate: file.network.loop_rate,
        retry: retry(&file.client)?,
        time_to_live: span(
            "client.time_to_live",
            &file.client.time_to_live,
            SECOND,
            YEAR,
        )?,
        delay: link_delay(
            span("links.delay", &file.links.delay, Span::ZERO, MINUTE)?,
            span("links.jitter", &file.links.jitter, Span::ZERO, MINUTE)?,
        ),
        loss: file.links.loss,
        clients: file
            .clients
            .into_iter()
            .map(|c| (c.count, c.profile))
            .collect(),
        profiles: file
            .profiles
            .into_iter()
            .map(|(name, p)| (name, p.into()))
            .collect(),
        workload: Workload {
            messages_per_minute: file.workload.messages_per_minute,
            bytes: file.workload.bytes,
            to: file.workload.to,
        },
        churn: match file.churn {
            Some(churn) => Some((
                span("churn.online", &churn.online, SECOND, YEAR)?,
                span("churn.offline", &churn.offline, SECOND, YEAR)?,
            )),
            None => None,
        },
        crashes: Crashes {
            mixes: up_down("crashes.mixes", file.crashes.mixes)?,
            providers: up_down("crashes.providers", file.crashes.providers)?,
            clients: up_down("crashes.clients", file.crashes.clients)?,
        },
        faults: Vec::new(),
    };
    check(&scenario)?;
    for (index, fault) in file.faults.into_iter().enumerate() {
        let fault = fault.read(&format!("faults[{index}]"), &scenario)?;
        scenario.faults.push(fault);
    }
    Ok(scenario)
}

fn retry(client: &FileClient) -> Result<(Span, Span), NetworkError> {
    let after = span(
        "client.retry_after",
        &client.retry_after,
        Span::from_millis(1),
        DAY,
    )?;
    let max = span(
        "client.retry_max",
        &client.retry_max,
        Span::from_millis(1),
        YEAR,
    )?;
    if max < after {
        let hint = "make it longer, or client.retry_after shorter";
        return Err(wrong(
            "client.retry_max",
            written(max),
            "at least client.retry_after",
            hint,
        ));
    }
    Ok((after, max))
}

fn up_down(key: &str, file: Option<FileUpDown>) -> Result<Option<(Span, Span)>, NetworkError> {
    let Some(FileUpDown { up, down }) = file else {
        return Ok(None);
    };
    let up = span(&format!("{key}.up"), &up, SECOND, YEAR)?;
    let down = span(&format!("{key}.down"), &down, SECOND, YEAR)?;
    Ok(Some((up, down)))
}

impl FileFault {
    fn read(self, key: &str, scenario: &Scenario) -> Result<PlannedFault, NetworkError> {
        let sub = |name: &str| format!("{key}.{name}");
        let unused = "this kind of fault has no such key: remove it";
        let links = matches!(self.kind, FileKind::Loss | FileKind::Delay);
        if self.with.is_some() && !links {
            return Err(wrong(&sub("with"), "…", "nothing", unused));
        }
        if self.loss.is_some() && self.kind != FileKind::Loss {
            return Err(wrong(&sub("loss"), "…", "nothing", unused));
        }
        if (self.delay.is_some() || self.jitter.is_some()) && self.kind != FileKind::Delay {
            return Err(wrong(&sub("delay"), "…", "nothing", unused));
        }
        let who = parties(&sub("who"), &self.who, scenario)?;
        let kind = match self.kind {
            FileKind::Partition => FaultKind::Partition,
            FileKind::Crash => FaultKind::Crash,
            FileKind::Offline if who.iter().all(Who::is_clients) => FaultKind::Offline,
            FileKind::Offline => {
                let hint = "nodes are always online; crash them, or cut them off";
                return Err(wrong(
                    &sub("who"),
                    format!("{:?}", self.who),
                    "clients",
                    hint,
                ));
            }
            FileKind::Loss | FileKind::Delay => {
                let part = |name: &str, value: &Option<String>| {
                    let text = value.as_deref().unwrap_or("0s");
                    span(&sub(name), text, Span::ZERO, MINUTE)
                };
                let loss = self.loss.unwrap_or(0.0);
                number(&sub("loss"), loss, 1.0, "0 to 1", "a probability")?;
                FaultKind::Link {
                    with: match &self.with {
                        Some(with) => parties(&sub("with"), with, scenario)?,
                        None => Vec::new(),
                    },
                    delay: link_delay(part("delay", &self.delay)?, part("jitter", &self.jitter)?),
                    loss,
                }
            }
        };
        Ok(PlannedFault {
            kind,
            who,
            at: span(&sub("at"), &self.at, Span::ZERO, scenario.duration)?,
            lasting: match &self.lasting {
                Some(text) => Some(span(&sub("for"), text, Span::from_millis(1), YEAR)?),
                None => None,
            },
        })
    }
}

fn parties(key: &str, names: &[String], scenario: &Scenario) -> Result<Vec<Who>, NetworkError> {
    let mixes = usize::from(scenario.layers) * scenario.width;
    let hint = "places count from 0, and have to exist";
    let allowed = "\"mixes\", \"mix 0\", \"provider 1\", \"clients 0-3\"";
    if names.is_empty() {
        return Err(wrong(key, "[]", allowed, "name somebody"));
    }
    let read = |name: &String| {
        Who::parse(name)
            .filter(|who| who.fits(mixes, scenario.providers, scenario.client_count()))
            .ok_or_else(|| wrong(key, format!("\"{name}\""), allowed, hint))
    };
    names.iter().map(read).collect()
}

impl From<FileProfile> for Profile {
    fn from(file: FileProfile) -> Self {
        Self {
            real: file.real,
            loops: file.loops,
            drops: file.drops,
            mailbox: file.mailbox,
            mailbox_clock: file.mailbox_clock,
            downlink: file.downlink,
        }
    }
}
