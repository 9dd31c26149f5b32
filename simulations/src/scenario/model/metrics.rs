//! `[metrics]`: what is measured. A metric is switched on by `name = true` or by a table of its
//! parameters, each of which has a default.

use serde::{Deserialize, Serialize};

use super::{Model, switch::switch};
use crate::scenario::{Seconds, error::Problems};

/// `[metrics]`: each that is given is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Delivery times by kind of packet.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Packets per message, and losses, by kind.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub overhead: Option<Overhead>,
    /// Which departure is the target that entered.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub entropy_forward: Option<Entropy>,
    /// Which packet that entered is the target that arrived.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub entropy_backward: Option<Entropy>,
    /// Likelihood difference of pairs of senders.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<Epsilon>,
    /// Statistical disclosure of a client's contacts.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<Disclosure>,
    /// Intersection of who is online.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub intersection: Option<Intersection>,
    /// The n-1 attack on one mix, and the alarm of its loops.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub n_minus_one: Option<NMinusOne>,
    /// What a corrupt provider learns.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub corrupt_provider: Option<CorruptProvider>,
    /// The time to a client's first fully corrupt route.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub compromise: Option<Compromise>,
    /// Matching flows that enter with flows that leave.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub flow_matching: Option<FlowMatching>,
    /// The first-in-first-out attack.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub fifo: Option<Fifo>,
    /// What droppers cost, and whether loops notice them.
    #[serde(deserialize_with = "switch", skip_serializing_if = "Option::is_none")]
    pub droppers: Option<Droppers>,
}

/// `latency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// The quantiles, each above 0 and below 1.
    pub quantiles: Vec<f64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            quantiles: vec![0.5, 0.9, 0.95, 0.99],
        }
    }
}

/// `overhead`: no parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overhead {}

/// `entropy_forward` and `entropy_backward`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entropy {
    /// Also over users: the probabilities of a user's packets are added up.
    pub users: bool,
}

/// `epsilon`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Epsilon {
    /// Pairs of clients, by their numbers among all clients in order of the classes.
    pub pairs: Vec<[u32; 2]>,
    /// The epsilons at which delta is reported.
    pub deltas_at: Vec<f64>,
}

impl Default for Epsilon {
    fn default() -> Self {
        Self {
            pairs: vec![[0, 1]],
            deltas_at: vec![0.5, 1.0, 2.0],
        }
    }
}

/// `disclosure`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Disclosure {
    /// The client that is attacked, by its number among all clients.
    pub victim: u32,
    /// The length of a round. Receipts count in the round in which they were likely sent.
    pub round: Seconds,
}

impl Default for Disclosure {
    fn default() -> Self {
        Self {
            victim: 0,
            round: Seconds::new(10.0).unwrap_or_default(),
        }
    }
}

/// `intersection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Intersection {
    /// The client that is attacked, by its number among all clients.
    pub victim: u32,
    /// How long before a message arrived its sender must have been online.
    pub window: Seconds,
}

impl Default for Intersection {
    fn default() -> Self {
        Self {
            victim: 0,
            window: Seconds::new(10.0).unwrap_or_default(),
        }
    }
}

/// `n_minus_one`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NMinusOne {
    /// The layer of the mix under attack, from 0.
    pub layer: u32,
    /// Its place in the layer, from 0.
    pub mix: u32,
    /// The share of other traffic that is let through (1/s).
    pub let_through: f64,
    /// How many attacks are played in each repetition.
    pub attacks: u32,
    /// How long an attack lasts.
    pub length: Seconds,
    /// When the mix takes missing loops for an attack.
    pub alarm: LoopAlarm,
}

impl Default for NMinusOne {
    fn default() -> Self {
        Self {
            layer: 0,
            mix: 0,
            let_through: 0.0,
            attacks: 1000,
            length: Seconds::new(60.0).unwrap_or_default(),
            alarm: LoopAlarm::default(),
        }
    }
}

/// `corrupt_provider`: no parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CorruptProvider {}

/// `compromise`: no parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compromise {}

/// `flow_matching`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowMatching {
    /// How many flows, of the first clients of the scenario, are compared with each other.
    pub flows: u32,
    /// The length of a bin in which packets are counted.
    pub bin: Seconds,
}

impl Default for FlowMatching {
    fn default() -> Self {
        Self {
            flows: 100,
            bin: Seconds::new(1.0).unwrap_or_default(),
        }
    }
}

/// `fifo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fifo {
    /// How many mixes in a row the two messages pass (k); without it, those of a route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<u32>,
    /// The rate of the sender's messages per second (lambda); without it, the first class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// How many attacks are played in each repetition.
    pub attacks: u32,
}

impl Default for Fifo {
    fn default() -> Self {
        Self {
            hops: None,
            rate: None,
            attacks: 10_000,
        }
    }
}

/// `droppers`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Droppers {
    /// When a client takes missing loops for an attack.
    pub alarm: LoopAlarm,
}

/// When missing loops are an attack: the limits of the network's own relays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoopAlarm {
    /// How many finished loops the return ratio looks back on.
    pub window: u32,
    /// Finished loops that it takes before the alarm says anything.
    pub minimum: u32,
    /// A return ratio below this begins the alarm.
    pub ratio: f64,
    /// A return ratio of at least this ends it.
    pub recovery: f64,
}

impl Default for LoopAlarm {
    fn default() -> Self {
        Self {
            window: 50,
            minimum: 20,
            ratio: 0.7,
            recovery: 0.85,
        }
    }
}

impl Metrics {
    /// The names of those that are switched on.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            ("latency", self.latency.is_some()),
            ("overhead", self.overhead.is_some()),
            ("entropy_forward", self.entropy_forward.is_some()),
            ("entropy_backward", self.entropy_backward.is_some()),
            ("epsilon", self.epsilon.is_some()),
            ("disclosure", self.disclosure.is_some()),
            ("intersection", self.intersection.is_some()),
            ("n_minus_one", self.n_minus_one.is_some()),
            ("corrupt_provider", self.corrupt_provider.is_some()),
            ("compromise", self.compromise.is_some()),
            ("flow_matching", self.flow_matching.is_some()),
            ("fifo", self.fifo.is_some()),
            ("droppers", self.droppers.is_some()),
        ];
        all.iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| *name)
            .collect()
    }

    /// Checks the parameters, and that the scenario has what each metric needs.
    pub(in crate::scenario) fn check(&self, model: &Model, problems: &mut Problems) {
        self.check_needs(model, problems);
        self.check_ranges(model, problems);
    }

    fn check_needs(&self, model: &Model, problems: &mut Problems) {
        for name in self.names() {
            let key = format!("metrics.{name}");
            let targets = ["entropy_forward", "entropy_backward", "epsilon"];
            let nobody = ["latency", "overhead"];
            if targets.contains(&name) && model.targets.is_none() {
                problems.contradiction(
                    key.clone(),
                    "needs targets, and there are none",
                    "add a [targets] section, as count = 100",
                );
            }
            if !nobody.contains(&name) && model.adversaries.is_empty() {
                problems.contradiction(
                    key.clone(),
                    "needs an adversary, and there is none",
                    "add an [[adversaries]] section, as name = \"global\"",
                );
            }
            if name == "corrupt_provider"
                && model.adversaries.iter().all(|a| a.corrupt_providers == 0)
            {
                problems.contradiction(
                    key.clone(),
                    "needs an adversary with corrupt providers",
                    "set corrupt_providers of an adversary",
                );
            }
            if name == "droppers" && model.adversaries.iter().all(|a| a.drops <= 0.0) {
                problems.contradiction(
                    key,
                    "needs an adversary that drops",
                    "set drops of an adversary with corrupt nodes",
                );
            }
        }
    }

    fn check_ranges(&self, model: &Model, problems: &mut Problems) {
        let clients: u64 = model
            .clients
            .iter()
            .map(|class| u64::from(class.count))
            .sum();
        let client = (0, clients.saturating_sub(1));
        let mut length = |key: &str, value: Seconds| {
            if !(1e-6..=3e7).contains(&value.get()) {
                problems.refuse(format!("metrics.{key}"), value, "must be 1us to 3e7s");
            }
        };
        if let Some(m) = &self.disclosure {
            length("disclosure.round", m.round);
        }
        if let Some(m) = &self.intersection {
            length("intersection.window", m.window);
        }
        if let Some(m) = &self.n_minus_one {
            length("n_minus_one.length", m.length);
        }
        if let Some(m) = &self.flow_matching {
            length("flow_matching.bin", m.bin);
        }
        if let Some(m) = &self.droppers {
            m.alarm.check("metrics.droppers.alarm", problems);
        }
        if let Some(m) = &self.latency {
            for (at, quantile) in m.quantiles.iter().enumerate() {
                problems.within(
                    format!("metrics.latency.quantiles[{at}]"),
                    *quantile,
                    (1e-9, 1.0),
                );
            }
        }
        if let Some(m) = &self.epsilon {
            m.check(client, problems);
        }
        if let Some(m) = &self.disclosure {
            problems.count("metrics.disclosure.victim", m.victim, client);
        }
        if let Some(m) = &self.intersection {
            problems.count("metrics.intersection.victim", m.victim, client);
        }
        if let Some(m) = &self.n_minus_one {
            m.check(model, problems);
        }
        if let Some(m) = &self.flow_matching {
            problems.count(
                "metrics.flow_matching.flows",
                m.flows,
                (2, clients.clamp(2, 10_000)),
            );
        }
        if let Some(m) = &self.fifo {
            m.check(problems);
        }
        if let Some(m) = &self.droppers {
            m.alarm.check("metrics.droppers.alarm", problems);
        }
    }
}

impl Epsilon {
    fn check(&self, client: (u64, u64), problems: &mut Problems) {
        if self.pairs.is_empty() || self.pairs.len() > 10_000 {
            let given = format!("{} pairs", self.pairs.len());
            problems.refuse("metrics.epsilon.pairs", given, "must be 1 to 10000 pairs");
        }
        for (at, [first, second]) in self.pairs.iter().enumerate() {
            let key = format!("metrics.epsilon.pairs[{at}]");
            problems.count(key.clone(), *first, client);
            problems.count(key.clone(), *second, client);
            if first == second {
                problems.refuse(key, first, "must be two different clients");
            }
        }
        for (at, epsilon) in self.deltas_at.iter().enumerate() {
            let key = format!("metrics.epsilon.deltas_at[{at}]");
            problems.within(key, *epsilon, (0.0, 1000.0));
        }
    }
}

impl NMinusOne {
    fn check(&self, model: &Model, problems: &mut Problems) {
        let widths = model.topology.widths();
        let layers = (widths.len() as u64).saturating_sub(1);
        problems.count("metrics.n_minus_one.layer", self.layer, (0, layers));
        let width = widths.get(self.layer as usize).copied().unwrap_or(1);
        let mixes = (0, u64::from(width).saturating_sub(1));
        problems.count("metrics.n_minus_one.mix", self.mix, mixes);
        problems.within(
            "metrics.n_minus_one.let_through",
            self.let_through,
            (0.0, 1.0),
        );
        let key = |name: &str| format!("metrics.n_minus_one.{name}");
        self.alarm.check(&key("alarm"), problems);
        problems.count(key("attacks"), self.attacks, (1, 10_000_000));
    }
}

impl Fifo {
    fn check(&self, problems: &mut Problems) {
        if let Some(hops) = self.hops {
            problems.count("metrics.fifo.hops", hops, (1, 64));
        }
        if let Some(rate) = self.rate {
            problems.within("metrics.fifo.rate", rate, (1e-9, 1e6));
        }
        problems.count("metrics.fifo.attacks", self.attacks, (1, 10_000_000));
    }
}

impl LoopAlarm {
    fn check(&self, key: &str, problems: &mut Problems) {
        problems.count(format!("{key}.window"), self.window, (1, 10_000));
        let window = u64::from(self.window);
        problems.count(format!("{key}.minimum"), self.minimum, (1, window));
        problems.within(format!("{key}.ratio"), self.ratio, (0.0, 1.0));
        problems.within(format!("{key}.recovery"), self.recovery, (self.ratio, 1.0));
    }
}
