//! The books at one instant, and what of them is exported.

use shoal_proto::{Metric, MetricKind, Sample};

use crate::reason::Dropped;
use crate::{DropReason, Excess, LoopReturns};

shoal_proto::counters! {
    /// What became of received packets and of the node's own loops, beside what has labels.
    pub struct Counters("mix") {
        /// Frames that came in, from peers and attached clients, well-formed or not.
        received: counter "packets";
        /// Received packets that left for their next hop: handed to the link.
        forwarded: counter "packets";
        /// Received packets that ended here and went to the provider role.
        delivered: counter "packets";
        /// The node's own loops that came back.
        loops_returned: counter "packets";
        /// The node's own loops that did not come back in time.
        loops_lost: counter "packets", "A few are normal; the return ratio tells when they are too many.";
        /// Ticks of the loop clock without a loop: no document, no route, too many under way, or
        /// the machine slept.
        loops_skipped: counter "ticks", "If it grows long after the start, look whether the node has a document and is in it.";
        /// Received packets that left later than the limit for lateness allows.
        late: counter "packets", "The machine or its disk is too slow for its traffic: look at the histogram of the excess.";
        /// Received packets whose tag was durable long after their moment, so that their delay was drawn anew.
        redrawn: counter "packets", "The disk of the state directory is too slow: move the directory, or find what else writes to that disk. Mixing is as good as before, and packets take longer.";
    }
}

shoal_proto::labels! {
    /// Received packets that are inside, by where they are.
    pub enum Stage("stage") counted by Inside as gauge "shoal_mix_inside_packets" in "packets" {
        /// Admitted, waits for an unwrap worker.
        Queued = "queued", "If it stays high, give the node more unwrap workers or cores.";
        /// An unwrap worker has it, or the way from there to the pool.
        Unwrapping = "unwrapping";
        /// In the delay pool, and its replay tag is not durable yet.
        AwaitingLog = "awaiting_log", "If it stays high, the disk of the state directory is slow.";
        /// In the delay pool, waits for its moment only.
        Pooled = "pooled";
        /// Left the pool, waits in a ring for the link to take it.
        Departing = "departing", "If it stays high, look at the links to the neighbours.";
    }
}

shoal_proto::labels! {
    /// Packets that the node made on its own account, beside what it relays.
    pub enum OwnKind("kind") counted by OwnCounts as counter "shoal_mix_originated_packets_total" in "packets" {
        /// A loop of the node's own.
        Loop = "loop";
        /// A packet of the provider role: receipt, dummy or mailbox stream.
        Provider = "provider";
    }
}

/// The other numbers that are kept for each [`OwnKind`].
const OWN_SENT: Metric = Metric {
    name: "shoal_mix_own_sent_packets_total",
    help: "The node's own packets that a link took.",
    ..OwnCounts::METRIC
};
const OWN_DROPPED: Metric = Metric {
    name: "shoal_mix_own_dropped_packets_total",
    help: "The node's own packets that no link took.",
    advice: "Look whether this machine reaches the others: what it sends itself found no link.",
    ..OwnCounts::METRIC
};
const OWN_DEPARTING: Metric = Metric {
    name: "shoal_mix_own_departing_packets",
    kind: MetricKind::Gauge,
    help: "The node's own packets that wait in a ring for the link to take them.",
    ..OwnCounts::METRIC
};

/// Everything that this crate exports. [`Snapshot::samples`] gives the numbers of all but the last
/// two, which are no whole numbers: [`Snapshot::excess`] and [`LoopReturns::ratio`].
pub const METRICS: &[&[Metric]] = &[
    Counters::METRICS,
    &[
        Dropped::METRIC,
        Inside::METRIC,
        OwnCounts::METRIC,
        OWN_SENT,
        OWN_DROPPED,
        OWN_DEPARTING,
    ],
    &[Excess::METRIC, LoopReturns::METRIC],
];

/// The books at one instant. Every number but what is inside or departing only grows.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// What has no labels.
    pub counters: Counters,
    /// How much later than at their moment received packets left the pool.
    pub excess: Excess,
    pub(crate) dropped: Dropped,
    pub(crate) inside: Inside,
    pub(crate) own: OwnBooks,
}

/// What the node sent on its own account, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct OwnBooks {
    pub(crate) originated: OwnCounts,
    pub(crate) sent: OwnCounts,
    pub(crate) dropped: OwnCounts,
    pub(crate) departing: OwnCounts,
}

/// What the node sent on its own account, of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnTraffic {
    /// Packets made.
    pub originated: u64,
    /// Packets handed to a link.
    pub sent: u64,
    /// Packets that no link took.
    pub dropped: u64,
    /// Packets that wait in a ring.
    pub departing: u64,
}

impl Snapshot {
    /// Received packets that were dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.of(reason)
    }

    /// Received packets that were dropped, for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.total()
    }

    /// Received packets that are in this stage.
    #[must_use]
    pub fn inside(&self, stage: Stage) -> u64 {
        self.inside.of(stage)
    }

    /// Received packets that are in any stage.
    #[must_use]
    pub fn inside_total(&self) -> u64 {
        self.inside.total()
    }

    /// What the node sent on its own account.
    #[must_use]
    pub fn own(&self, kind: OwnKind) -> OwnTraffic {
        OwnTraffic {
            originated: self.own.originated.of(kind),
            sent: self.own.sent.of(kind),
            dropped: self.own.dropped.of(kind),
            departing: self.own.departing.of(kind),
        }
    }

    /// Whether every packet is accounted for, the received ones and the node's own.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let Counters {
            received,
            forwarded,
            delivered,
            loops_returned,
            ..
        } = self.counters;
        let ended = forwarded + delivered + loops_returned + self.dropped_total();
        let own_balanced = |kind: &OwnKind| {
            let own = self.own(*kind);
            own.originated == own.sent + own.dropped + own.departing
        };
        received == ended + self.inside_total() && OwnKind::ALL.iter().all(own_balanced)
    }

    /// The numbers for a page, but for the histogram [`excess`](Self::excess).
    pub fn samples(&self) -> impl Iterator<Item = Sample> + use<> {
        let own = |metric: &'static Metric, counts: OwnCounts| {
            counts
                .samples()
                .map(move |sample| Sample { metric, ..sample })
        };
        self.counters
            .samples()
            .chain(self.dropped.samples())
            .chain(self.inside.samples())
            .chain(self.own.originated.samples())
            .chain(own(&OWN_SENT, self.own.sent))
            .chain(own(&OWN_DROPPED, self.own.dropped))
            .chain(own(&OWN_DEPARTING, self.own.departing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Accounting;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn what_is_declared_is_sampled_and_nothing_else() {
        let [plain @ .., apart] = METRICS else {
            unreachable!("three parts");
        };
        let declared: Vec<_> = plain.iter().copied().flatten().collect();
        let mut sampled: Vec<_> = Snapshot::default().samples().map(|s| s.metric).collect();
        sampled.dedup();
        assert_eq!(sampled, declared);
        let names: BTreeSet<_> = METRICS.iter().copied().flatten().map(|m| m.name).collect();
        assert_eq!(names.len(), declared.len() + apart.len());
        for metric in METRICS.iter().copied().flatten() {
            let rest = metric.name.strip_prefix("shoal_mix_").unwrap_or_default();
            let counter = metric.kind == MetricKind::Counter;
            assert_eq!(rest.ends_with("_total"), counter, "{}", metric.name);
            let unit = rest.trim_end_matches("_total").ends_with(metric.unit);
            assert!(unit && !metric.help.is_empty(), "{}", metric.name);
        }
    }

    /// Each series says what its place in the books says.
    #[test]
    fn a_page_says_what_the_books_say() {
        let accounting = Accounting::new();
        accounting.receive().sent();
        accounting.receive().drop_as(DropReason::RingFull);
        let inside = accounting.receive();
        for _ in 0..2 {
            accounting.originate(OwnKind::Provider).sent();
        }
        accounting
            .originate(OwnKind::Loop)
            .drop_as(DropReason::Unreachable);
        let waits = accounting.originate(OwnKind::Loop);
        let page: BTreeMap<_, _> = accounting
            .snapshot()
            .samples()
            .filter(|sample| sample.value > 0)
            .map(|sample| ((sample.metric.name, sample.label), sample.value))
            .collect();
        let expected = [
            (("shoal_mix_dropped_packets_total", Some("ring_full")), 1),
            (("shoal_mix_forwarded_packets_total", None), 1),
            (("shoal_mix_inside_packets", Some("queued")), 1),
            (("shoal_mix_originated_packets_total", Some("loop")), 2),
            (("shoal_mix_originated_packets_total", Some("provider")), 2),
            (("shoal_mix_own_departing_packets", Some("loop")), 1),
            (("shoal_mix_own_dropped_packets_total", Some("loop")), 1),
            (("shoal_mix_own_sent_packets_total", Some("provider")), 2),
            (("shoal_mix_received_packets_total", None), 3),
        ];
        assert_eq!(page, BTreeMap::from(expected));
        drop((inside, waits));
    }

    #[test]
    fn books_balance_only_if_both_halves_do() {
        let accounting = Accounting::new();
        accounting.receive().sent();
        accounting.originate(OwnKind::Loop).sent();
        let sound = accounting.snapshot();
        assert!(sound.balanced());
        let mut received = sound.clone();
        received.counters.received += 1;
        assert!(!received.balanced(), "one came and went nowhere");
        let mut own = sound;
        own.own.originated = OwnCounts::default();
        assert!(!own.balanced(), "one left that nobody made");
    }
}
