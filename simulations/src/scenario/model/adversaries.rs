//! `[[adversaries]]`.

use serde::{Deserialize, Serialize};

use super::{Topology, clients::check_name};
use crate::scenario::error::Problems;

/// `[[adversaries]]`: one of the adversaries that are judged on a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adversary {
    /// Its name in results: letters, digits, `_` and `-`.
    pub name: String,
    /// What it sees.
    #[serde(default)]
    pub sees: Sees,
    /// The mixes that tell it which packet that came is which that left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrupt_mixes: Option<CorruptMixes>,
    /// How many providers tell it everything, drawn at random.
    #[serde(default)]
    pub corrupt_providers: u32,
    /// What it knows besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knows: Vec<Knowledge>,
    /// The share of packets that its nodes drop; above 0 it changes the run for everybody.
    #[serde(default)]
    pub drops: f64,
}

/// Where an adversary watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sees {
    /// Every link: the global passive adversary.
    #[default]
    AllLinks,
    /// The links of its own nodes.
    OwnNodes,
}

/// What an adversary knows of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Knowledge {
    /// Which packets that arrive at their end are messages, and which are cover.
    Kinds,
    /// Which packets are loops of mixes.
    Loops,
}

/// Which mixes are corrupt: either `count` or `share`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorruptMixes {
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Which share of all mixes, rounded to a whole number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Where.
    #[serde(default)]
    pub placement: Placement,
}

/// How corrupt mixes are placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Placement {
    /// At random among all mixes.
    #[default]
    Random,
    /// At random, the same number in each layer as far as it goes.
    Balanced,
    /// Those with the greatest route weight.
    Heaviest,
    /// One in each layer first, so that whole routes are corrupt.
    Path,
}

impl CorruptMixes {
    /// How many of so many mixes.
    #[must_use]
    pub fn number(&self, mixes: u64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 100,000 mixes, and a share of them"
        )]
        let of_share = |share: f64| (share.clamp(0.0, 1.0) * mixes as f64).round() as u64;
        self.count
            .map_or_else(|| self.share.map_or(0, of_share), u64::from)
    }
}

impl Adversary {
    /// Checks the adversary at place `at` of its list.
    pub(in crate::scenario) fn check(
        &self,
        at: usize,
        topology: &Topology,
        problems: &mut Problems,
    ) {
        let key = |name: &str| format!("adversaries[{at}].{name}");
        check_name(key("name"), &self.name, problems);
        if let Some(corrupt) = &self.corrupt_mixes {
            match (corrupt.count, corrupt.share) {
                (Some(count), None) => {
                    problems.count(key("corrupt_mixes.count"), count, (0, topology.mixes()));
                }
                (None, Some(share)) => {
                    problems.within(key("corrupt_mixes.share"), share, (0.0, 1.0));
                }
                _ => problems.contradiction(
                    key("corrupt_mixes"),
                    "must have either count or share",
                    "count = 3, or share = 0.1",
                ),
            }
        }
        let providers = u64::from(topology.providers);
        if u64::from(self.corrupt_providers) > providers {
            problems.refuse(
                key("corrupt_providers"),
                self.corrupt_providers,
                format!("must be 0 to topology.providers = {providers}"),
            );
        }
        problems.within(key("drops"), self.drops, (0.0, 1.0));
        let nodes = self
            .corrupt_mixes
            .as_ref()
            .map_or(0, |c| c.number(topology.mixes()))
            + u64::from(self.corrupt_providers);
        if nodes == 0 && self.drops > 0.0 {
            problems.refuse_with_hint(
                key("drops"),
                self.drops,
                "must be 0 for an adversary without nodes of its own",
                "give it corrupt_mixes or corrupt_providers",
            );
        }
        if nodes == 0 && self.sees == Sees::OwnNodes {
            problems.contradiction(
                key("sees"),
                "\"own_nodes\" of an adversary without nodes sees nothing",
                "give it corrupt_mixes or corrupt_providers, or sees = \"all_links\"",
            );
        }
    }
}
