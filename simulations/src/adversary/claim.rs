//! What may be claimed of a posterior that spreads mass over the packets of a pool.

use crate::engine::{Delay, Plan, Receivers, Routes, Workload};
use crate::measure::Claim;

use super::Adversary;

/// Whether a delay lets the adversary follow each packet.
fn is_constant(delay: &Delay) -> bool {
    match delay {
        Delay::Constant { .. } => true,
        Delay::Exponential { mean } => *mean <= 0.0,
        Delay::Uniform { least, most } => most <= least,
        Delay::Lognormal { sigma, .. } => *sigma <= 0.0,
        Delay::Gamma { .. } | Delay::Pareto { .. } => false,
    }
}

/// Whether all packets of a pool are as likely to leave next.
fn is_memoryless(delay: &Delay) -> bool {
    match delay {
        Delay::Exponential { .. } => true,
        Delay::Gamma { shape, .. } => (*shape - 1.0).abs() < f64::EPSILON,
        Delay::Constant { .. }
        | Delay::Uniform { .. }
        | Delay::Lognormal { .. }
        | Delay::Pareto { .. } => false,
    }
}

impl Adversary {
    /// The nodes that hide nothing from this adversary, by global index: its own, and those whose
    /// delay is constant, which let out first what came in first.
    #[must_use]
    pub fn revealed(&self, plan: &Plan) -> Vec<bool> {
        let providers = plan.network.providers as usize;
        let mixes: usize = plan.network.layers.iter().map(Vec::len).sum();
        let open_mixes = is_constant(&plan.network.mix_delay);
        let open_providers = is_constant(&plan.network.provider_delay);
        let nodes = self.corrupt.iter().enumerate();
        nodes
            .map(|(node, corrupt)| {
                let is_mix = (providers..providers + mixes).contains(&node);
                *corrupt || if is_mix { open_mixes } else { open_providers }
            })
            .collect()
    }

    /// What may be claimed of the posterior over messages or users that spreads mass evenly over
    /// the packets of each pool ("mass over count"), in this plan.
    #[must_use]
    pub fn claim(&self, plan: &Plan) -> Claim {
        if let Some(reason) = self.unsound(plan) {
            return Claim::Unsound(reason.to_owned());
        }
        if self.revealed(plan).iter().all(|revealed| *revealed) {
            return Claim::Exact;
        }
        let mut low = Vec::new();
        if plan.network.mix_loops > 0.0 && !self.knows_loops {
            low.push("the adversary is given which departures are mix loops");
        }
        if !plan.droppers.is_empty() || plan.network.server.is_some() {
            low.push("the adversary is given which packets nodes lose");
        }
        let mut high = Vec::new();
        if self.knows_kinds && has_cover(plan) {
            high.push("the kinds that the adversary knows are not used");
        }
        if has_routing_constraints(plan) {
            return Claim::Approximation("routing constraints ignored".to_owned());
        }
        match (low.is_empty(), high.is_empty()) {
            (true, true) => Claim::Exact,
            (false, true) => Claim::LowerBound(low.join("; ")),
            (true, false) => Claim::UpperBound(high.join("; ")),
            (false, false) => {
                low.append(&mut high);
                Claim::Approximation(low.join("; "))
            }
        }
    }

    fn unsound(&self, plan: &Plan) -> Option<&'static str> {
        let network = &plan.network;
        if !self.sees_all {
            return Some("the adversary sees only the links of its own nodes");
        }
        let open_mixes = is_constant(&network.mix_delay);
        if !open_mixes && !is_memoryless(&network.mix_delay) {
            return Some("the delay at mixes is not exponential");
        }
        let has_providers = network.providers > 0;
        let provider_delay = &network.provider_delay;
        if has_providers && !is_constant(provider_delay) && !is_memoryless(provider_delay) {
            return Some("the delay at providers is not exponential");
        }
        if !open_mixes && matches!(network.routes, Routes::Free { .. }) {
            return Some("routes are free: how far a packet has come is not seen");
        }
        if !open_mixes && network.server.is_some() {
            return Some("packets queue at mixes before their delay");
        }
        None
    }
}

/// Whether anything but messages arrives at an end.
fn has_cover(plan: &Plan) -> bool {
    let classes = plan.classes.iter();
    let buffered = |workload: &Workload| !matches!(workload, Workload::Saturated);
    plan.network.mix_loops > 0.0
        || classes.into_iter().any(|class| {
            class.loops > 0.0
                || class.drops > 0.0
                || (class.real > 0.0 && class.dummies && buffered(&class.workload))
        })
}

/// Whether where a packet ends depends on who sent it, so that not every way of pairing the
/// packets of a pool is as likely.
fn has_routing_constraints(plan: &Plan) -> bool {
    plan.classes.iter().any(|class| {
        let to_itself = class.loops > 0.0 && plan.network.providers != 1;
        let writes = class.real > 0.0 && class.count > 0;
        let to_contacts = matches!(class.receivers, Receivers::Contacts(_));
        to_itself || (writes && (to_contacts || class.workload == Workload::Trace))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{placed, plan};
    use super::*;
    use crate::engine::Server;

    #[test]
    fn exact_is_claimed_of_layers_of_exponential_mixes_only() {
        let base = plan(&[&[1.0; 2], &[1.0; 2]]);
        let global = placed(&base);
        assert_eq!(global.claim(&base), Claim::Exact);
        assert_eq!(global.revealed(&base), [false; 4]);

        let unsound: [fn(&mut Plan); 5] = [
            |plan| {
                plan.network.mix_delay = Delay::Uniform {
                    least: 0.0,
                    most: 1.0,
                }
            },
            |plan| {
                plan.network.mix_delay = Delay::Gamma {
                    shape: 2.0,
                    mean: 1.0,
                }
            },
            |plan| plan.network.routes = Routes::Free { hops: 2 },
            |plan| {
                plan.network.server = Some(Server {
                    rate: 1.0,
                    queue: 1,
                })
            },
            |plan| {
                plan.network.providers = 2;
                plan.network.provider_delay = Delay::Pareto {
                    scale: 1.0,
                    shape: 2.0,
                };
            },
        ];
        for change in unsound {
            let mut plan = base.clone();
            change(&mut plan);
            assert!(matches!(placed(&plan).claim(&plan), Claim::Unsound(_)));
        }
        let mut blind = global;
        blind.sees_all = false;
        assert!(matches!(blind.claim(&base), Claim::Unsound(_)));
    }

    #[test]
    fn constant_delays_hide_nothing() {
        let mut plan = plan(&[&[1.0; 2]]);
        plan.network.mix_delay = Delay::Constant { seconds: 1.0 };
        plan.network.routes = Routes::Free { hops: 3 };
        plan.network.mix_loops = 1.0;
        let adversary = placed(&plan);
        assert_eq!(adversary.claim(&plan), Claim::Exact);
        assert_eq!(adversary.revealed(&plan), [true; 2]);
        // Providers that pass packets on at once are followed, the mixes between them are not.
        plan.network.routes = Routes::Stratified;
        plan.network.providers = 1;
        plan.network.mix_delay = Delay::Exponential { mean: 1.0 };
        let adversary = placed(&plan);
        assert_eq!(adversary.revealed(&plan), [true, false, false, true]);
    }

    #[test]
    fn cover_makes_bounds() {
        let mut plan = plan(&[&[1.0; 2]]);
        plan.network.mix_loops = 1.0;
        let mut adversary = placed(&plan);
        assert!(matches!(adversary.claim(&plan), Claim::LowerBound(_)));
        adversary.knows_kinds = true;
        assert!(matches!(adversary.claim(&plan), Claim::Approximation(_)));
        adversary.knows_loops = true;
        assert!(matches!(adversary.claim(&plan), Claim::UpperBound(_)));
        adversary.knows_kinds = false;
        assert_eq!(adversary.claim(&plan), Claim::Exact);
        for class in &mut plan.classes {
            class.loops = 1.0;
        }
        let ignored = Claim::Approximation("routing constraints ignored".to_owned());
        assert_eq!(adversary.claim(&plan), ignored);
    }
}
