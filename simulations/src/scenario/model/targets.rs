//! `[targets]`.

use serde::{Deserialize, Serialize};

use crate::scenario::error::Problems;

/// `[targets]`: the packets that adversaries try to trace, by their index among those of the kind
/// that are sent in the measurement. Never by time: the first one after an instant does not see
/// what any one sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// The index of the first.
    #[serde(default)]
    pub first: u32,
    /// The distance from one to the next; an index at which too many are alive is passed over.
    #[serde(default = "one")]
    pub every: u32,
    /// How many at most.
    pub count: u32,
    /// How many may be traced at one time: each needs memory and time for every packet.
    #[serde(default = "eight")]
    pub max_alive: u32,
    /// What is counted.
    #[serde(default)]
    pub kind: TargetKind,
}

/// Which packets can be targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TargetKind {
    /// Messages.
    #[default]
    Real,
    /// Every packet that a client sends.
    Any,
}

impl Targets {
    pub(in crate::scenario) fn check(&self, problems: &mut Problems) {
        problems.count("targets.first", self.first, (0, 4_000_000_000));
        problems.count("targets.every", self.every, (1, 4_000_000_000));
        problems.count("targets.count", self.count, (1, 100_000_000));
        problems.count("targets.max_alive", self.max_alive, (1, 65_536));
    }
}

const fn one() -> u32 {
    1
}

const fn eight() -> u32 {
    8
}
