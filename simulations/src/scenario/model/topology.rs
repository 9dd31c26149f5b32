//! `[topology]` and `[mixes]`.

use serde::{Deserialize, Serialize};

use crate::scenario::error::Problems;

/// The most mixes, providers or layers of a network.
pub(in crate::scenario) const MAX_MIXES: u64 = 100_000;
const MAX_PROVIDERS: u64 = 100_000;
const MAX_LAYERS: usize = 64;

/// How mixes are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TopologyKind {
    /// Layers; a packet takes one mix of each in turn.
    Stratified,
    /// Parallel chains; a packet takes one chain from its first mix to its last.
    Cascade,
    /// A packet takes `hops` mixes in any order.
    FreeRoute,
}

/// `[topology]`: the mixes, how routes are chosen, and the providers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// How mixes are arranged.
    pub kind: TopologyKind,
    /// Layers of a stratified network, or mixes of each chain of a cascade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// Mixes of each layer, chains of a cascade, or mixes of a free route network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Mixes of each layer, where they differ: instead of `layers` and `width`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<u32>>,
    /// Mixes that a packet takes in a free route network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<u32>,
    /// How likely routes take each mix of each layer (a cascade and free routes: one list, of
    /// chains or mixes); they need not add up to 1. Without them all are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<Vec<f64>>>,
    /// Providers; with 0, clients send to the first mix and receive from the last.
    #[serde(default)]
    pub providers: u32,
}

impl Topology {
    /// The mixes of each layer; a free route network is one layer.
    #[must_use]
    pub fn widths(&self) -> Vec<u32> {
        match (self.kind, &self.widths) {
            (TopologyKind::Stratified, Some(widths)) => widths.clone(),
            (TopologyKind::Stratified, None) => self.equal_layers(1),
            (TopologyKind::Cascade, _) => self.equal_layers(1),
            (TopologyKind::FreeRoute, _) => vec![self.width.unwrap_or(1)],
        }
    }

    fn equal_layers(&self, width: u32) -> Vec<u32> {
        let layers = self.layers.unwrap_or(1) as usize;
        vec![self.width.unwrap_or(width); layers.min(MAX_LAYERS)]
    }

    /// All mixes.
    #[must_use]
    pub fn mixes(&self) -> u64 {
        self.widths().iter().map(|width| u64::from(*width)).sum()
    }

    /// The mixes of a packet's route.
    #[must_use]
    pub fn path_length(&self) -> u32 {
        match self.kind {
            TopologyKind::FreeRoute => self.hops.unwrap_or(1),
            TopologyKind::Stratified | TopologyKind::Cascade => {
                u32::try_from(self.widths().len()).unwrap_or(u32::MAX)
            }
        }
    }

    pub(in crate::scenario) fn check(&self, problems: &mut Problems) {
        self.check_keys(problems);
        let widths = self.widths();
        if widths.is_empty() || widths.len() > MAX_LAYERS || widths.contains(&0) {
            problems.refuse(
                "topology.widths",
                format!("{widths:?}"),
                "must be 1 to 64 layers of at least one mix",
            );
        }
        let mixes = self.mixes();
        if mixes > MAX_MIXES {
            problems.refuse(
                "topology",
                format!("{mixes} mixes"),
                "must be 1 to 100000 mixes",
            );
        }
        problems.count("topology.providers", self.providers, (0, MAX_PROVIDERS));
        self.check_weights(&widths, problems);
    }

    /// Which keys go with which kind.
    fn check_keys(&self, problems: &mut Problems) {
        let (needs, takes): (&[&str], &[&str]) = match (self.kind, self.widths.is_some()) {
            (TopologyKind::Stratified, true) => (&[], &["widths"]),
            (TopologyKind::Stratified, false) => (&["layers", "width"], &[]),
            (TopologyKind::Cascade, _) => (&["layers"], &["width"]),
            (TopologyKind::FreeRoute, _) => (&["width", "hops"], &[]),
        };
        let given = [
            ("layers", self.layers.map(u64::from), MAX_LAYERS as u64),
            ("width", self.width.map(u64::from), MAX_MIXES),
            ("widths", self.widths.as_ref().map(|w| w.len() as u64), 64),
            ("hops", self.hops.map(u64::from), 255),
        ];
        for (key, value, most) in given {
            let path = format!("topology.{key}");
            match value {
                None if needs.contains(&key) => problems.contradiction(
                    path,
                    "is missing",
                    "stratified: layers and width, or widths; cascade: layers; free_route: width and hops",
                ),
                Some(_) if !needs.contains(&key) && !takes.contains(&key) => problems
                    .contradiction(
                        path,
                        "does not go with the other keys",
                        "stratified: layers and width, or widths alone; cascade: layers, width; free_route: width, hops",
                    ),
                Some(value) => problems.count(path, value, (1, most)),
                None => {}
            }
        }
        if self.kind == TopologyKind::FreeRoute
            && self.width == Some(1)
            && self.hops.is_some_and(|hops| hops > 1)
        {
            let allowed = "must be 1 with a single mix: no mix follows on itself";
            problems.refuse("topology.hops", self.hops.unwrap_or(0), allowed);
        }
    }

    fn check_weights(&self, widths: &[u32], problems: &mut Problems) {
        let Some(weights) = &self.weights else {
            return;
        };
        let lists = match self.kind {
            TopologyKind::Stratified => widths,
            TopologyKind::Cascade | TopologyKind::FreeRoute => widths.get(..1).unwrap_or_default(),
        };
        if weights.len() != lists.len() {
            let allowed = format!("must be {} lists", lists.len());
            let given = format!("{} lists", weights.len());
            problems.refuse("topology.weights", given, allowed);
        }
        for (layer, (list, width)) in weights.iter().zip(lists).enumerate() {
            let key = format!("topology.weights[{layer}]");
            if list.len() as u64 != u64::from(*width) {
                let allowed = format!("must be {width} numbers");
                problems.refuse(key, format!("{} numbers", list.len()), allowed);
                continue;
            }
            if let Some(at) = list.iter().position(|w| !(1e-9..=1e9).contains(w)) {
                let value = list.get(at).copied().unwrap_or_default();
                problems.refuse(format!("{key}[{at}]"), value, "must be 1e-9 to 1e9");
            }
        }
    }
}

/// `[mixes]`: what mixes do besides delaying.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixes {
    /// Loops that each mix sends to itself, per second (lambda_M).
    #[serde(default)]
    pub loop_rate: f64,
    /// Packets that a mix can process per second; without it, any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<f64>,
    /// Packets that wait to be processed, the one in process included, before more are dropped;
    /// goes with `capacity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<u32>,
}

impl Mixes {
    pub(in crate::scenario) fn check(&self, problems: &mut Problems) {
        problems.within("mixes.loop_rate", self.loop_rate, (0.0, 1e6));
        if let Some(capacity) = self.capacity {
            problems.within("mixes.capacity", capacity, (1e-3, 1e9));
        }
        if let Some(queue) = self.queue {
            problems.count("mixes.queue", queue, (1, 10_000_000));
            if self.capacity.is_none() {
                problems.contradiction(
                    "mixes.queue",
                    "goes with mixes.capacity, which is missing",
                    "without a capacity nothing waits",
                );
            }
        }
    }
}
