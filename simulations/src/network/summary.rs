//! What a run says in the end.

use std::collections::BTreeMap;

use serde::Serialize;
use shoal_harness::{FaultCounts, Kind, Ledger, Network};
use shoal_proto::Time;

use super::judge::{Judge, Message};
use crate::stats;

/// What a run came to. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Of the simulator.
    pub version: &'static str,
    /// What everything random followed from.
    pub seed: u64,
    /// Virtual time in all.
    pub virtual_s: f64,
    /// When the network was up.
    pub up_s: f64,
    /// Messages by what became of them: `sent`, `unsent`, `refused`, `accepted`, `stored`,
    /// `received`, `expired`, `told_again`.
    pub messages: BTreeMap<&'static str, u64>,
    /// From sending to the receipt that the message is stored.
    pub stored_after_s: Option<Quantiles>,
    /// From sending to when the receiver has it, times offline included.
    pub received_after_s: Option<Quantiles>,
    /// Frames on links between members, up and down.
    pub frames: BTreeMap<&'static str, FrameTotals>,
    /// Frames that were put on a link that was cut, among those lost.
    pub frames_cut: u64,
    /// Packets that nodes dropped, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Packets that provider roles dropped, by reason.
    pub provider_dropped: BTreeMap<&'static str, u64>,
    /// Epochs that began.
    pub epochs: u64,
    /// Epochs for which a document was formed.
    pub documents: u64,
    /// Epochs for which nodes had more than one document.
    pub forks: u64,
    /// Alarms of clients by kind, and of nodes as `node_loops`.
    pub alarms: BTreeMap<&'static str, u64>,
    /// What went wrong until the end of the run, which itself ends every process: `scheduled`
    /// faults, `crashes`, times that a client went `offline`.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often the books were checked.
    pub checks: u64,
    /// `balanced`, unless a check failed.
    pub books: &'static str,
    /// The promise that was not kept.
    pub failure: Option<String>,
    /// Messages that were open when a run ended that gave them too little time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<String>,
    /// The hash of the trace: equal for equal runs.
    pub trace_hash: String,
    /// How many lines the trace has.
    pub trace_lines: u64,
}

/// Some quantiles of times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many.
    pub count: usize,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of a hundred are below.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// What became of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FrameTotals {
    /// Put on a link.
    pub sent: u64,
    /// Came out and were taken.
    pub received: u64,
    /// Lost by the link, or because it was cut.
    pub lost: u64,
    /// Came out where nobody was there any more.
    pub unclaimed: u64,
    /// Bytes put on links.
    pub bytes: u64,
}

/// What a summary is made from.
pub(super) struct Facts<'a> {
    pub(super) seed: u64,
    pub(super) network: &'a Network,
    pub(super) judge: &'a Judge,
    /// When the network was built, when it was up, and when it was last checked.
    pub(super) start: Time,
    pub(super) up: Time,
    pub(super) checked: Time,
    pub(super) checks: u64,
    pub(super) unsent: u64,
    /// Epochs that had documents, and in how many of them nodes had different ones.
    pub(super) documents: usize,
    pub(super) forks: usize,
    /// The promise that was not kept, in words.
    pub(super) failure: Option<String>,
    /// The messages that were left open, in words.
    pub(super) unsettled: Option<String>,
    /// What went wrong before everything was ended.
    pub(super) faults: FaultCounts,
}

impl Summary {
    pub(super) fn of(run: Facts<'_>) -> Self {
        let network = run.network;
        let audit = network.audit();
        let messages = run.judge.messages();
        let mut alarms = run.judge.alarms.clone();
        let told: u64 = alarms.values().sum();
        let by_nodes = network.trace_count(Kind::Alarm).saturating_sub(told);
        if by_nodes > 0 {
            alarms.insert("node_loops", by_nodes);
        }
        let faults = run.faults;
        let (dropped, provider_dropped) = drops(network);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            seed: run.seed,
            virtual_s: run.checked.since(run.start).as_secs_f64(),
            up_s: run.up.since(run.start).as_secs_f64(),
            messages: fates(messages, run.unsent),
            stored_after_s: Quantiles::of(messages, |message| message.stored),
            received_after_s: Quantiles::of(messages, |message| message.received),
            frames: BTreeMap::from([
                ("members", audit.members.into()),
                ("up", audit.uplinks.into()),
                ("down", audit.downlinks.into()),
            ]),
            frames_cut: faults.cut_frames,
            dropped,
            provider_dropped,
            epochs: network.params().epoch_at(run.checked).number() + 1,
            documents: run.documents as u64,
            forks: run.forks as u64,
            alarms,
            faults: BTreeMap::from([
                ("scheduled", faults.scheduled),
                ("crashes", faults.crashes),
                ("offline", faults.offline),
            ]),
            checks: run.checks,
            books: if audit.check().is_ok() {
                "balanced"
            } else {
                "unbalanced"
            },
            failure: run.failure,
            unsettled: run.unsettled,
            trace_hash: network.trace_hash().to_string(),
            trace_lines: network.trace_lines(),
        }
    }
}

impl Summary {
    /// As JSON, indented.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers, words and maps of them: nothing that JSON can't say.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn fates(messages: &[Message], unsent: u64) -> BTreeMap<&'static str, u64> {
    let count = |of: &dyn Fn(&Message) -> bool| messages.iter().filter(|m| of(m)).count() as u64;
    let again = messages.iter().map(|m| u64::from(m.told.saturating_sub(1)));
    BTreeMap::from([
        ("sent", messages.len() as u64),
        ("unsent", unsent),
        ("refused", count(&|m| m.refused.is_some())),
        ("accepted", count(&|m| m.accepted.is_some())),
        ("stored", count(&|m| m.stored.is_some())),
        ("received", count(&|m| m.received.is_some())),
        ("expired", count(&|m| m.expired.is_some())),
        ("told_again", again.sum()),
    ])
}

type Counts = BTreeMap<&'static str, u64>;

fn drops(network: &Network) -> (Counts, Counts) {
    let (mut nodes, mut providers) = (Counts::new(), Counts::new());
    for node in network.nodes() {
        for books in network.books(node) {
            for reason in shoal_mix::DropReason::ALL {
                *nodes.entry(reason.as_str()).or_default() += books.dropped(*reason);
            }
        }
        for counters in network.provider_counters(node) {
            for reason in shoal_provider::DropReason::ALL {
                *providers.entry(reason.as_str()).or_default() += counters.dropped(*reason);
            }
        }
    }
    nodes.retain(|_, count| *count > 0);
    providers.retain(|_, count| *count > 0);
    (nodes, providers)
}

impl Quantiles {
    /// Of the times from sending to what `end` gives; none if there are none.
    fn of(messages: &[Message], end: impl Fn(&Message) -> Option<Time>) -> Option<Self> {
        let since = |message: &Message| Some(end(message)?.since(message.sent).as_secs_f64());
        let times: Vec<f64> = messages.iter().filter_map(since).collect();
        Some(Self {
            count: times.len(),
            mean: stats::mean(&times)?,
            p50: stats::quantile(&times, 0.5)?,
            p90: stats::quantile(&times, 0.9)?,
            p99: stats::quantile(&times, 0.99)?,
            max: stats::quantile(&times, 1.0)?,
        })
    }
}

impl From<Ledger> for FrameTotals {
    fn from(ledger: Ledger) -> Self {
        Self {
            sent: ledger.sent,
            received: ledger.received,
            lost: ledger.lost,
            unclaimed: ledger.unclaimed,
            bytes: ledger.bytes,
        }
    }
}
