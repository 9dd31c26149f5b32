//! What may be claimed of a posterior that spreads mass over the packets of a pool.

use crate::engine::mass::Insight;
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

    /// What this adversary knows inside the network, for a posterior over what comes out. The kinds
    /// of packets are used where that is sound: see [`Insight::kinds`].
    #[must_use]
    pub fn insight(&self, plan: &Plan) -> Insight {
        let messages = plan.targets.is_some_and(|targets| !targets.any_kind);
        Insight {
            corrupt: self.revealed(plan),
            loops: self.knows_loops && plan.network.mix_loops > 0.0,
            kinds: self.knows_kinds
                && messages
                && self.hides_kinds(plan)
                && has_independent_kinds(plan),
        }
    }

    /// Whether anything but messages arrives at an end, as far as this adversary has not left it
    /// out already.
    fn hides_kinds(&self, plan: &Plan) -> bool {
        has_cover(plan) || (plan.network.mix_loops > 0.0 && !self.knows_loops)
    }

    /// What may be claimed of the posterior over messages or users that spreads mass evenly over
    /// the packets of each pool ("mass over count"), in this plan, with this adversary's
    /// [`Insight`].
    #[must_use]
    pub fn claim(&self, plan: &Plan) -> Claim {
        if let Some(reason) = self.unsound(plan) {
            return Claim::Unsound(reason.to_owned());
        }
        if self.revealed(plan).iter().all(|revealed| *revealed) {
            return Claim::Exact;
        }
        let mut claim = Claim::Exact;
        if has_routing_constraints(plan) {
            claim = Claim::Approximation("routing constraints ignored".to_owned());
        }
        let mut low = |reason: &str| claim = claim.and(&Claim::LowerBound(reason.to_owned()));
        if plan.network.mix_loops > 0.0 && !self.knows_loops {
            low("the adversary is given which departures are mix loops");
        }
        if !plan.droppers.is_empty() || plan.network.server.is_some() {
            low("the adversary is given which packets nodes lose");
        }
        if self.knows_kinds && self.hides_kinds(plan) && !has_independent_kinds(plan) {
            let reason = "the kinds that the adversary knows are not used";
            claim = claim.and(&Claim::UpperBound(reason.to_owned()));
        }
        claim
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

/// Whether clients send anything but messages.
fn has_cover(plan: &Plan) -> bool {
    let buffered = |workload: &Workload| !matches!(workload, Workload::Saturated);
    plan.classes
        .iter()
        .filter(|class| class.count > 0)
        .any(|class| {
            class.loops > 0.0
                || class.drops > 0.0
                || (class.real > 0.0 && class.dummies && buffered(&class.workload))
        })
}

/// Whether each packet of a client is a message with the same probability, whoever sends it and
/// whenever, and every packet comes out. Then what came out as cover can't be a target that is a
/// message, and says nothing else: the posterior is that of an adversary who does not know kinds,
/// given that a message came out.
fn has_independent_kinds(plan: &Plan) -> bool {
    let senders = plan
        .classes
        .iter()
        .filter(|class| class.count > 0 && class.real + class.loops + class.drops > 0.0);
    let mut shares = senders.map(|class| {
        // A message from a buffer makes the next one likelier, and a loop ends at its sender.
        let independent = class.loops <= 0.0 && class.workload == Workload::Saturated;
        independent.then(|| class.real / (class.real + class.drops))
    });
    let Some(Some(first)) = shares.next() else {
        return false;
    };
    let same = |share: Option<f64>| share.is_some_and(|share| (share - first).abs() < 1e-12);
    shares.all(same)
        && plan.links.loss <= 0.0
        && plan.droppers.is_empty()
        && plan.network.server.is_none()
}

/// Whether where a packet ends depends on who sent it, so that not every way of pairing the
/// packets of a pool is as likely.
fn has_routing_constraints(plan: &Plan) -> bool {
    plan.classes.iter().any(|class| {
        let to_itself = class.loops > 0.0 && class.count > 0;
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
        let given = "the adversary is given which departures are mix loops";
        assert_eq!(adversary.claim(&plan), Claim::LowerBound(given.to_owned()));
        // What is known to be a loop hides nothing; then messages alone are left.
        adversary.knows_loops = true;
        adversary.knows_kinds = true;
        assert_eq!(adversary.claim(&plan), Claim::Exact);
        let insight = adversary.insight(&plan);
        assert!(insight.loops && !insight.kinds);
        adversary.knows_kinds = false;
        assert_eq!(adversary.claim(&plan), Claim::Exact);
        for class in &mut plan.classes {
            class.loops = 1.0;
        }
        let ignored = "routing constraints ignored";
        let near = |of: String| Claim::Approximation(of);
        assert_eq!(adversary.claim(&plan), near(ignored.to_owned()));
        // Nothing that is left out goes unsaid.
        adversary.knows_kinds = true;
        let unused = "the kinds that the adversary knows are not used";
        let all = format!("{ignored}; {unused}");
        assert_eq!(adversary.claim(&plan), near(all));
        adversary.knows_loops = false;
        let all = format!("{ignored}; {given}; {unused}");
        assert_eq!(adversary.claim(&plan), near(all));
    }

    #[test]
    fn kinds_are_used_where_they_are_independent_and_said_to_be_unused_elsewhere() {
        let targets = crate::engine::Targets {
            first: 0,
            every: 1,
            max_alive: 1,
            count: 1,
            any_kind: false,
            users: false,
        };
        let mut base = plan(&[&[1.0; 2]]);
        base.targets = Some(targets);
        for class in &mut base.classes {
            class.drops = 1.0;
        }
        let mut adversary = placed(&base);
        assert!(!adversary.insight(&base).kinds);
        adversary.knows_kinds = true;
        assert_eq!(adversary.claim(&base), Claim::Exact);
        assert!(adversary.insight(&base).kinds);
        let unused = Claim::UpperBound("the kinds that the adversary knows are not used".into());
        let others: [fn(&mut Plan); 3] = [
            // Of a bursty sender one message makes the next likelier.
            |plan| plan.classes[0].workload = Workload::Poisson { rate: 0.5 },
            // Those who send more cover than others are told apart by it.
            |plan| {
                let mut other = plan.classes[0].clone();
                other.drops = 3.0;
                plan.classes.push(other);
            },
            // The kind of what is lost is not seen.
            |plan| plan.links.loss = 0.1,
        ];
        for change in others {
            let mut plan = base.clone();
            change(&mut plan);
            assert_eq!(adversary.claim(&plan), unused);
            assert!(!adversary.insight(&plan).kinds);
        }
        // A target of any kind is as likely cover as what comes out: kinds say nothing of it.
        base.targets = Some(crate::engine::Targets {
            any_kind: true,
            ..targets
        });
        assert!(!adversary.insight(&base).kinds);
        assert_eq!(adversary.claim(&base), Claim::Exact);
    }
}
