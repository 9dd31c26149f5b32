//! What a result is: a value with its name and unit, and what may be claimed of it.

use serde::{Deserialize, Serialize};

/// What may be claimed of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Claim {
    /// The posterior of the adversary that is named, without error but for the residual mass.
    Exact,
    /// An approximation, by its name in the documentation.
    Approximation(String),
    /// The true value is at least this, because of what is named.
    LowerBound(String),
    /// The true value is at most this, because of what is named.
    UpperBound(String),
    /// Counted in the run: no inference is involved (latency, loss, overhead, alarms).
    Counted,
    /// A named attack was carried out; a better attack may exist.
    Attack(String),
    /// No sound inference is known, so there is no value; the reason.
    Unsound(String),
}

/// One value of one repetition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The metric: `entropy_forward_messages`, `latency_p99.real`.
    pub name: String,
    /// The adversary that it is about, by its name in the scenario; none for what no adversary
    /// has to do with.
    pub adversary: Option<String>,
    /// `bits`, `s`, `1`, `packets`, ….
    pub unit: String,
    /// `None` where the claim says why, or where nothing was there to measure.
    pub value: Option<f64>,
    /// What may be claimed.
    pub claim: Claim,
    /// What the adversary knows, in words; empty without an adversary.
    pub knowledge: String,
}
