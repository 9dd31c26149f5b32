//! What corrupt providers learn: whose messages enter and leave with them, among how many clients,
//! and, where both ends of a message are theirs, how well timing links the two.
//!
//! Sources: A. Piotrowska et al., "The Loopix Anonymity System", 2017, sections 3.2 and 4.3
//! (providers as adversaries); G. Danezis, "The Traffic Analysis of Continuous-Time Mixes", 2004
//! (likelihood of an entry given an exit, from the distribution of the delay).

use super::draw::Trials;
use super::sheet::{Sheet, count, share};
use super::sight::at;
use crate::adversary::Adversary;
use crate::engine::{Histogram, Kind, Observer, Outcome, Packet, Plan};
use crate::measure::Claim;
use crate::{math, stats};

/// Messages that are linked at most; the first ones.
const MOST_LINKED: usize = 2_000;
/// Packets whose entry is remembered at most.
const MOST_ENTRIES: usize = 20_000_000;

/// Watches the messages of the measurement at the adversary's providers.
pub(super) struct Provider {
    adversary: Adversary,
    plan: Plan,
    first_exit: u32,
    /// By slot: the provider's entry node was the adversary's.
    entered: Vec<bool>,
    /// By client: the entry node it was last seen at, plus 1.
    at_node: Vec<u32>,
    /// Packets that entered at the adversary's, in order: when and whose.
    entries: Vec<(f64, u32)>,
    /// Messages of which both ends are the adversary's: when they came out, and whose they were.
    both: Vec<(f64, u32)>,
    messages: u64,
    senders: u64,
    receivers: u64,
    linkable: u64,
}

impl Provider {
    pub(super) fn new(adversary: &Adversary, plan: &Plan) -> Self {
        let mixes: usize = plan.network.layers.iter().map(Vec::len).sum();
        let mixes = u32::try_from(mixes).unwrap_or(u32::MAX);
        Self {
            adversary: adversary.clone(),
            plan: plan.clone(),
            first_exit: plan.network.providers + mixes,
            entered: Vec::new(),
            at_node: vec![0; plan.clients() as usize],
            entries: Vec::new(),
            both: Vec::new(),
            messages: 0,
            senders: 0,
            receivers: 0,
            linkable: 0,
        }
    }

    /// Clients per corrupt provider, of those that sent anything.
    fn set_sizes(&self) -> Vec<f64> {
        let nodes = 0..self.plan.network.providers;
        nodes
            .filter(|node| self.adversary.owns(*node))
            .map(|node| {
                let own = self.at_node.iter().filter(|at| **at == node + 1);
                count(own.count() as u64)
            })
            .collect()
    }

    /// Takes for each message the sender whose packet most likely came out then, by the delay's
    /// distribution as a gamma of the same mean and variance.
    fn link(&self, latency: &Histogram) -> (Trials, Vec<f64>) {
        let mut trials = Trials::default();
        let mut candidates = Vec::new();
        let (Some(mean), Some(variance)) = (latency.mean(), latency.variance()) else {
            return (trials, candidates);
        };
        let least = latency.buckets().next().map_or(0.0, |bucket| bucket.0);
        let most = latency.buckets().last().map_or(0.0, |bucket| bucket.1);
        let (above, spread) = ((mean - least).max(1e-9), variance.max(1e-12));
        let (shape, scale) = (above * above / spread, spread / above);
        let score = |delay: f64| {
            let beyond = (delay - least).max(1e-9);
            (shape - 1.0) * math::ln(beyond) - beyond / scale
        };
        for (out, sender) in &self.both {
            let from = self.entries.partition_point(|entry| entry.0 < out - most);
            let to = self.entries.partition_point(|entry| entry.0 <= out - least);
            let range = self.entries.get(from..to).unwrap_or_default();
            let best = range
                .iter()
                .max_by(|a, b| score(out - a.0).total_cmp(&score(out - b.0)));
            trials.add(best.is_some_and(|entry| entry.1 == *sender));
            candidates.push(count(range.len() as u64));
        }
        (trials, candidates)
    }

    pub(super) fn put(&self, outcome: &Outcome, sheet: &mut Sheet) {
        let mut put = |name: &str, unit: &str, value, claim: &Claim| {
            let name = format!("corrupt_provider_{name}");
            sheet.put(Some(&self.adversary), (name, unit), value, claim);
        };
        let counted = Claim::Counted;
        put(
            "sender_known",
            "1",
            share(self.senders, self.messages),
            &counted,
        );
        put(
            "receiver_known",
            "1",
            share(self.receivers, self.messages),
            &counted,
        );
        put(
            "both_known",
            "1",
            share(self.linkable, self.messages),
            &counted,
        );
        let sizes = self.set_sizes();
        put("clients", "clients", stats::mean(&sizes), &counted);
        let bits = stats::mean(&sizes).filter(|n| *n > 0.0).map(math::log2);
        let unlinked = Claim::UpperBound(
            "all clients of the provider alike: what the other end tells is not used".to_owned(),
        );
        put("set_bits", "bits", bits, &unlinked);
        let (linked, candidates) = self.link(&outcome.latency(Kind::Real, false));
        let attack = Claim::Attack("likeliest entry by a gamma delay".to_owned());
        put("linked", "1", linked.share(), &attack);
        put(
            "link_candidates",
            "packets",
            stats::mean(&candidates),
            &counted,
        );
    }
}

impl Observer for Provider {
    fn sent(&mut self, slot: u32, packet: &Packet, time: f64, first: u32) {
        let own = packet.kind != Kind::MixLoop && self.adversary.owns(first);
        *at(&mut self.entered, slot) = own;
        if packet.kind == Kind::MixLoop {
            return;
        }
        if let Some(node) = self.at_node.get_mut(packet.sender as usize) {
            *node = first + 1;
        }
        if own && self.entries.len() < MOST_ENTRIES {
            self.entries.push((time, packet.sender));
        }
    }

    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        let counts = packet.kind == Kind::Real && self.plan.phases.measures(packet.sent);
        if !counts || self.plan.network.providers == 0 {
            return;
        }
        let enters = self.entered.get(slot as usize) == Some(&true);
        let leaves = packet.exit < self.plan.network.providers
            && self.adversary.owns(self.first_exit + packet.exit);
        self.messages += 1;
        self.senders += u64::from(enters);
        self.receivers += u64::from(leaves);
        self.linkable += u64::from(enters && leaves);
        if enters && leaves && self.both.len() < MOST_LINKED {
            self.both.push((time, packet.sender));
        }
    }
}
