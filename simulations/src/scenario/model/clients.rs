//! `[[clients]]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::scenario::{Seconds, error::Problems};

/// The most clients of a scenario.
pub(in crate::scenario) const MAX_CLIENTS: u64 = 100_000_000;
const MAX_RATE: f64 = 1e6;

/// `[[clients]]`: a class of clients that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientClass {
    /// Its name in results and key paths: letters, digits, `_` and `-`.
    pub name: String,
    /// How many clients.
    pub count: u32,
    /// What each of them sends.
    pub rates: Rates,
    /// Whether a tick of the real process that finds no message sends a dummy instead.
    #[serde(default = "yes")]
    pub dummies: bool,
    /// Messages that wait in a client's buffer; what comes when it is full is refused.
    #[serde(default = "thousand")]
    pub buffer: u32,
    /// Where messages come from.
    #[serde(default)]
    pub workload: Workload,
    /// Who receives them.
    #[serde(default)]
    pub receivers: Receivers,
    /// Coming and going; without it, clients are always online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<Churn>,
}

/// Rates of a client's Poisson processes, per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Messages, or dummies where none waits (lambda_P).
    pub real: f64,
    /// Loops (lambda_L).
    #[serde(default, rename = "loop")]
    pub loops: f64,
    /// Drops (lambda_D).
    #[serde(default)]
    pub drop: f64,
}

/// Where the messages of the real process come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenWorkload", into = "WrittenWorkload")]
#[non_exhaustive]
pub enum Workload {
    /// Each tick of the real process sends a message.
    #[default]
    Saturated,
    /// Messages arrive in the client's buffer as a Poisson process.
    Poisson {
        /// Messages per second and client.
        rate: f64,
    },
    /// Messages arrive in buffers at times from a file.
    Trace {
        /// The file, relative to the scenario's.
        file: PathBuf,
    },
}

/// Who receives a client's messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenReceivers", into = "WrittenReceivers")]
#[non_exhaustive]
pub enum Receivers {
    /// Any other client of the scenario, all alike.
    #[default]
    Uniform,
    /// Some fixed other clients, drawn once.
    Contacts {
        /// How many.
        count: u32,
    },
}

/// Alternating exponential times online and offline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// The mean time online.
    pub online: Seconds,
    /// The mean time offline.
    pub offline: Seconds,
}

impl Churn {
    /// The share of time that a client is online.
    #[must_use]
    pub fn online_share(&self) -> f64 {
        self.online.get() / (self.online.get() + self.offline.get())
    }
}

impl ClientClass {
    /// Packets that one client sends per second while it is online; of a trace without dummies, at
    /// most.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let real = match self.workload {
            Workload::Poisson { rate } if !self.dummies => rate.min(self.rates.real),
            _ => self.rates.real,
        };
        real + self.rates.loops + self.rates.drop
    }

    /// Packets that the class sends per second on average.
    #[must_use]
    pub fn total_rate(&self) -> f64 {
        let online = self.churn.as_ref().map_or(1.0, Churn::online_share);
        f64::from(self.count) * self.rate() * online
    }

    /// Whether any of its packets is a message.
    #[must_use]
    pub fn sends_messages(&self) -> bool {
        self.count > 0
            && self.rates.real > 0.0
            && !matches!(self.workload, Workload::Poisson { rate } if rate <= 0.0)
    }

    /// Checks the class at place `at` among `clients` clients in all.
    pub(in crate::scenario) fn check(&self, at: usize, clients: u64, problems: &mut Problems) {
        let key = |name: &str| format!("clients[{at}].{name}");
        check_name(key("name"), &self.name, problems);
        problems.count(key("count"), self.count, (1, MAX_CLIENTS));
        for (name, rate) in [
            ("rates.real", self.rates.real),
            ("rates.loop", self.rates.loops),
            ("rates.drop", self.rates.drop),
        ] {
            if !(0.0..=MAX_RATE).contains(&rate) {
                problems.refuse(key(name), rate, "must be 0 to 1000000 per second");
            }
        }
        problems.count(key("buffer"), self.buffer, (1, 10_000_000));
        self.check_workload(at, problems);
        if let Receivers::Contacts { count } = self.receivers {
            let others = clients.saturating_sub(1).min(100_000);
            problems.count(key("receivers.count"), count, (1, others));
        }
        if let Some(churn) = &self.churn {
            for (name, mean) in [
                ("churn.online", churn.online),
                ("churn.offline", churn.offline),
            ] {
                if !(1e-3..=1e9).contains(&mean.get()) {
                    problems.refuse(key(name), mean, "must be 1ms to 1e9s");
                }
            }
        }
    }

    fn check_workload(&self, at: usize, problems: &mut Problems) {
        let key = |name: &str| format!("clients[{at}].{name}");
        let real = self.rates.real;
        match &self.workload {
            Workload::Saturated | Workload::Trace { .. } => {}
            Workload::Poisson { rate } => {
                if !(0.0..=MAX_RATE).contains(rate) {
                    problems.refuse(
                        key("workload.rate"),
                        rate,
                        "must be 0 to 1000000 per second",
                    );
                } else if real > 0.0 && *rate >= real {
                    problems.warn(format!(
                        "{} = {rate} is not below rates.real = {real}: buffers grow for as long as the run lasts",
                        key("workload.rate")
                    ));
                }
            }
        }
        if real <= 0.0 && self.workload != Workload::Saturated {
            problems.refuse_with_hint(
                key("rates.real"),
                real,
                "must be above 0: the messages of the workload would never be sent",
                "raise rates.real, or leave out workload",
            );
        }
    }
}

/// Names are parts of key paths and of file names.
pub(in crate::scenario) fn check_name(key: String, name: &str, problems: &mut Problems) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts || name.len() > 64 || !name.chars().all(allowed) {
        problems.refuse(
            key,
            format!("{:?}", name.chars().take(80).collect::<String>()),
            "must be 1 to 64 letters, digits, '_' and '-', a letter first",
        );
    }
}

const fn yes() -> bool {
    true
}

const fn thousand() -> u32 {
    1000
}

// Workloads and receivers as they are written: a kind, and the keys that go with it. (An enum that
// serde tags by itself would take keys of other kinds without a word.)

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWorkload {
    kind: WorkloadKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WorkloadKind {
    Saturated,
    Poisson,
    Trace,
}

impl TryFrom<WrittenWorkload> for Workload {
    type Error = &'static str;

    fn try_from(written: WrittenWorkload) -> Result<Self, Self::Error> {
        match (written.kind, written.rate, written.file) {
            (WorkloadKind::Saturated, None, None) => Ok(Self::Saturated),
            (WorkloadKind::Saturated, ..) => Err("a saturated workload takes no other key"),
            (WorkloadKind::Poisson, Some(rate), None) => Ok(Self::Poisson { rate }),
            (WorkloadKind::Poisson, ..) => Err("a poisson workload takes exactly: rate"),
            (WorkloadKind::Trace, None, Some(file)) => Ok(Self::Trace { file }),
            (WorkloadKind::Trace, ..) => Err("a trace takes exactly: file"),
        }
    }
}

impl From<Workload> for WrittenWorkload {
    fn from(workload: Workload) -> Self {
        let (kind, rate, file) = match workload {
            Workload::Saturated => (WorkloadKind::Saturated, None, None),
            Workload::Poisson { rate } => (WorkloadKind::Poisson, Some(rate), None),
            Workload::Trace { file } => (WorkloadKind::Trace, None, Some(file)),
        };
        Self { kind, rate, file }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReceivers {
    kind: ReceiversKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReceiversKind {
    Uniform,
    Contacts,
}

impl TryFrom<WrittenReceivers> for Receivers {
    type Error = &'static str;

    fn try_from(written: WrittenReceivers) -> Result<Self, Self::Error> {
        match (written.kind, written.count) {
            (ReceiversKind::Uniform, None) => Ok(Self::Uniform),
            (ReceiversKind::Uniform, Some(_)) => Err("uniform receivers take no other key"),
            (ReceiversKind::Contacts, Some(count)) => Ok(Self::Contacts { count }),
            (ReceiversKind::Contacts, None) => Err("contacts take exactly: count"),
        }
    }
}

impl From<Receivers> for WrittenReceivers {
    fn from(receivers: Receivers) -> Self {
        let (kind, count) = match receivers {
            Receivers::Uniform => (ReceiversKind::Uniform, None),
            Receivers::Contacts { count } => (ReceiversKind::Contacts, Some(count)),
        };
        Self { kind, count }
    }
}
