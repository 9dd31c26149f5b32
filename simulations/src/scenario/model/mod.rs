//! What is written in a scenario, a file per section. The types are the file: what can't be
//! expressed in them is refused while it is read, and each section then checks its own ranges.

mod adversaries;
mod clients;
mod delay;
mod metrics;
mod observe;
mod run;
mod switch;
mod targets;
mod topology;

pub use adversaries::{Adversary, CorruptMixes, Knowledge, Placement, Sees};
pub(super) use clients::MAX_CLIENTS;
pub use clients::{Churn, ClientClass, Rates, Receivers, Workload};
pub use delay::{Delays, Distribution, Links};
pub use metrics::{
    Compromise, CorruptProvider, Disclosure, Droppers, Entropy, Epsilon, Fifo, FlowMatching,
    Intersection, Latency, LoopAlarm, Metrics, NMinusOne, Overhead,
};
pub use observe::Observe;
pub use run::Run;
pub use targets::{TargetKind, Targets};
pub use topology::{Mixes, Topology, TopologyKind};

use serde::{Deserialize, Serialize};

/// A scenario as it is written, each section by its name in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// `[run]`: seed, repetitions and phases.
    pub run: Run,
    /// `[topology]`: the mixes and providers and how routes are chosen.
    pub topology: Topology,
    /// `[links]`: delay and loss of links.
    #[serde(default)]
    pub links: Links,
    /// `[delay]`: how long mixes and providers hold a packet.
    pub delay: Delays,
    /// `[[clients]]`: the classes of clients.
    pub clients: Vec<ClientClass>,
    /// `[mixes]`: what mixes do besides delaying.
    #[serde(default)]
    pub mixes: Mixes,
    /// `[[adversaries]]`: who is judged on the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adversaries: Vec<Adversary>,
    /// `[targets]`: the messages that adversaries try to trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,
    /// `[metrics]`: what is measured.
    #[serde(default)]
    pub metrics: Metrics,
    /// `[observe]`: what an adversary sees, written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<Observe>,
}
