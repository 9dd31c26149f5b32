//! Flow matching on a run: the flows of the first clients, as [`flow`](super::flow) compares them.

use std::collections::BTreeSet;

use super::flow;
use super::roc::Roc;
use super::sheet::{Sheet, count};
use super::sight::Sight;
use crate::adversary::Adversary;
use crate::engine::{Kind, Observer, Packet, Phases, Plan};
use crate::measure::Claim;
use crate::scenario;

/// The most bins of a flow; what comes later is left out.
const MOST_BINS: usize = 1_000_000;

/// Counts what the first clients send and receive.
pub(super) struct Matching {
    flows: u32,
    bin: f64,
    lag: f64,
    phases: Phases,
    kinds: bool,
    sight: Sight,
    entering: Vec<Vec<u32>>,
    leaving: Vec<Vec<u32>>,
    pairs: BTreeSet<(u32, u32)>,
}

impl Matching {
    pub(super) fn new(asked: &scenario::FlowMatching, adversary: &Adversary, plan: &Plan) -> Self {
        let flows = asked.flows.min(plan.clients());
        let bin = asked.bin.get();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cut off at a million"
        )]
        let bins = ((plan.phases.measurement / bin) as usize).min(MOST_BINS);
        let counts = vec![vec![0; bins]; flows as usize];
        Self {
            flows,
            bin,
            lag: plan.path_time(),
            phases: plan.phases,
            kinds: adversary.knows_kinds,
            sight: Sight::new(adversary),
            entering: counts.clone(),
            leaving: counts,
            pairs: BTreeSet::new(),
        }
    }

    /// The curve; `None` if no client of those compared wrote to another, or all did.
    pub(super) fn roc(&self) -> Option<Roc> {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
        flow::match_flows(&self.entering, &self.leaving, |sender, receiver| {
            self.pairs.contains(&(number(sender), number(receiver)))
        })
    }

    pub(super) fn put(&self, adversary: &Adversary, sheet: &mut Sheet) -> Option<Roc> {
        let roc = self.roc();
        let claim = Claim::Attack("correlation of counts in bins".to_owned());
        let mut put = |name: &str, unit: &str, value| {
            let name = format!("flow_matching_{name}");
            sheet.put(Some(adversary), (name, unit), value, &claim);
        };
        put("auc", "1", roc.as_ref().map(|roc| roc.area));
        for (name, rate) in [("1e-2", 1e-2), ("1e-3", 1e-3)] {
            let found = roc.as_ref().and_then(|roc| {
                let allowed = roc.points.iter().filter(|p| p.false_positives <= rate);
                allowed.map(|point| point.true_positives).next_back()
            });
            put(&format!("true_positives_at_{name}"), "1", found);
        }
        let pairs = count(self.pairs.len() as u64);
        put("true_pairs", "pairs", Some(pairs));
        roc
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and cut off at the number of bins"
)]
fn add(series: Option<&mut Vec<u32>>, seconds: f64, bin: f64) {
    let counter = series.and_then(|series| series.get_mut((seconds / bin) as usize));
    if let Some(counter) = counter
        && seconds >= 0.0
    {
        *counter += 1;
    }
}

impl Observer for Matching {
    fn sent(&mut self, _: u32, packet: &Packet, time: f64, first: u32) {
        if packet.kind == Kind::MixLoop || packet.sender >= self.flows {
            return;
        }
        let seconds = time - self.phases.warm_up;
        if self.sight.enters(first) {
            let series = self.entering.get_mut(packet.sender as usize);
            add(series, seconds, self.bin);
        }
        let message = packet.kind == Kind::Real && packet.receiver < self.flows;
        if message && self.phases.measures(time) {
            self.pairs.insert((packet.sender, packet.receiver));
        }
    }

    fn depart(&mut self, node: u32, _: f64, slot: u32, next: u32) {
        self.sight.depart(node, slot, next);
    }

    fn end(&mut self, slot: u32, packet: &Packet, time: f64) {
        let counts = packet.receiver < self.flows
            && (!self.kinds || packet.kind == Kind::Real)
            && self.sight.leaves(slot);
        if counts {
            let seconds = time - self.lag - self.phases.warm_up;
            let series = self.leaving.get_mut(packet.receiver as usize);
            add(series, seconds, self.bin);
        }
    }
}
