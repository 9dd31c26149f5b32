//! Adversaries: what they see, what they have corrupted and how that is placed, what they know, and
//! what may be claimed of what is inferred for them.
//!
//! An adversary of a scenario becomes an [`Adversary`] of one repetition by
//! [placing](Adversary::place) its corrupt nodes. `docs/simulator/adversaries.md` describes them.

mod claim;
mod placement;

use crate::engine::{Dropper, Plan};
use crate::scenario::{self, Knowledge, Scenario, Sees};

/// An adversary with its nodes in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Adversary {
    /// Its name in the scenario.
    pub name: String,
    /// Whether it sees every link, and not only those of its own nodes.
    pub sees_all: bool,
    /// Whether it knows which packets that arrive at their end are messages.
    pub knows_kinds: bool,
    /// Whether it knows which packets are loops of mixes.
    pub knows_loops: bool,
    /// The share of packets that its nodes drop, 0 to 1.
    pub drops: f64,
    /// Its nodes, by global index. A corrupt provider is corrupt on entry and on exit.
    pub corrupt: Vec<bool>,
    /// How many mixes are its own.
    pub corrupt_mixes: u32,
    /// How many providers are its own.
    pub corrupt_providers: u32,
}

impl Adversary {
    /// Places the corrupt nodes of the adversary at `index` in its scenario's list. The same
    /// arguments give the same places; the numbers drawn are no other adversary's.
    #[must_use]
    pub fn place(
        model: &scenario::Adversary,
        plan: &Plan,
        seed: u64,
        repetition: u32,
        index: usize,
    ) -> Self {
        let corrupt = placement::place(model, plan, seed, repetition, index as u64);
        let first_mix = plan.network.providers as usize;
        let mixes: usize = plan.network.layers.iter().map(Vec::len).sum();
        let count = |nodes: &[bool]| {
            let corrupt = nodes.iter().filter(|corrupt| **corrupt).count();
            u32::try_from(corrupt).unwrap_or(u32::MAX)
        };
        Self {
            name: model.name.clone(),
            sees_all: model.sees == Sees::AllLinks,
            knows_kinds: model.knows.contains(&Knowledge::Kinds),
            knows_loops: model.knows.contains(&Knowledge::Loops),
            drops: model.drops,
            corrupt_mixes: count(
                corrupt
                    .get(first_mix..first_mix + mixes)
                    .unwrap_or_default(),
            ),
            corrupt_providers: count(corrupt.get(..first_mix).unwrap_or_default()),
            corrupt,
        }
    }

    /// All adversaries of a scenario, in its order.
    #[must_use]
    pub fn all(scenario: &Scenario, plan: &Plan, seed: u64, repetition: u32) -> Vec<Self> {
        let models = scenario.model().adversaries.iter().enumerate();
        models
            .map(|(index, model)| Self::place(model, plan, seed, repetition, index))
            .collect()
    }

    /// Whether a node, by global index, is its own.
    #[must_use]
    pub fn owns(&self, node: u32) -> bool {
        self.corrupt.get(node as usize).copied().unwrap_or(false)
    }

    /// What its nodes do to the run: the plan's [`droppers`](Plan::droppers).
    #[must_use]
    pub fn droppers(&self) -> Vec<Dropper> {
        if self.drops <= 0.0 {
            return Vec::new();
        }
        (0_u32..)
            .zip(&self.corrupt)
            .filter(|(_, corrupt)| **corrupt)
            .map(|(node, _)| Dropper {
                node,
                share: self.drops,
            })
            .collect()
    }

    /// What it sees, has and knows, in words.
    #[must_use]
    pub fn knowledge(&self) -> String {
        let mut words = vec![if self.sees_all {
            "sees every link".to_owned()
        } else {
            "sees the links of its own nodes".to_owned()
        }];
        for (count, what) in [
            (self.corrupt_mixes, "corrupt mixes"),
            (self.corrupt_providers, "corrupt providers"),
        ] {
            if count > 0 {
                words.push(format!("{count} {what}"));
            }
        }
        if self.knows_kinds {
            words.push("knows the kinds of packets at their ends".to_owned());
        }
        if self.knows_loops {
            words.push("knows the loops of mixes".to_owned());
        }
        words.join(", ")
    }
}

/// What all adversaries of a scenario do to a run. A node of several droppers drops what the first
/// of them would, and of the rest what the next would.
#[must_use]
pub fn droppers(scenario: &Scenario, plan: &Plan, seed: u64, repetition: u32) -> Vec<Dropper> {
    let mut shares = vec![0.0_f64; plan.nodes() as usize];
    for adversary in Adversary::all(scenario, plan, seed, repetition) {
        for dropper in adversary.droppers() {
            if let Some(share) = shares.get_mut(dropper.node as usize) {
                *share += (1.0 - *share) * dropper.share;
            }
        }
    }
    (0_u32..)
        .zip(shares)
        .filter(|(_, share)| *share > 0.0)
        .map(|(node, share)| Dropper { node, share })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::engine::{Class, Delay, Link, Links, Network, Phases, Receivers, Routes, Workload};
    use crate::scenario::{CorruptMixes, Placement};

    /// A stratified network of these weights without providers, and 10 clients at 1/s.
    pub(crate) fn plan(layers: &[&[f64]]) -> Plan {
        let link = Link::Constant(0.05);
        Plan {
            network: Network {
                routes: Routes::Stratified,
                layers: layers.iter().map(|layer| layer.to_vec()).collect(),
                providers: 0,
                mix_delay: Delay::Exponential { mean: 1.0 },
                provider_delay: Delay::Constant { seconds: 0.0 },
                server: None,
                mix_loops: 0.0,
            },
            links: Links::all(&link, layers.len()),
            classes: vec![Class {
                count: 10,
                real: 1.0,
                loops: 0.0,
                drops: 0.0,
                dummies: true,
                workload: Workload::Saturated,
                receivers: Receivers::Uniform,
                buffer: 10,
                churn: None,
            }],
            trace: Vec::new(),
            phases: Phases {
                warm_up: 0.0,
                measurement: 10.0,
                drain: 0.0,
            },
            droppers: Vec::new(),
            targets: None,
            groups: Vec::new(),
            bin: None,
        }
    }

    /// An adversary that sees everything, with so many corrupt mixes.
    pub(super) fn adversary(count: u32, placement: Placement) -> scenario::Adversary {
        scenario::Adversary {
            name: "eve".to_owned(),
            sees: Sees::AllLinks,
            corrupt_mixes: Some(CorruptMixes {
                count: Some(count),
                share: None,
                placement,
            }),
            corrupt_providers: 0,
            knows: Vec::new(),
            drops: 0.0,
        }
    }

    /// The global passive adversary.
    pub(crate) fn placed(plan: &Plan) -> Adversary {
        Adversary::place(&adversary(0, Placement::Random), plan, 1, 0, 0)
    }

    #[test]
    fn droppers_are_the_corrupt_nodes() {
        let plan = plan(&[&[1.0; 3]]);
        let mut model = adversary(2, Placement::Random);
        assert_eq!(Adversary::place(&model, &plan, 1, 0, 0).droppers(), []);
        model.drops = 0.25;
        let adversary = Adversary::place(&model, &plan, 1, 0, 0);
        let droppers = adversary.droppers();
        assert_eq!(droppers.len(), 2);
        assert!(droppers.iter().all(|d| adversary.owns(d.node)));
        assert_eq!(adversary.knowledge(), "sees every link, 2 corrupt mixes");
    }
}
