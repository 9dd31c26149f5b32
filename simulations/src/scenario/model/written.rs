//! Workloads and receivers as they are written: a kind, and the keys that go with it. (An enum that
//! serde tags by itself would take keys of other kinds without a word.)

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Receivers, Workload};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenWorkload {
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
pub(super) struct WrittenReceivers {
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
