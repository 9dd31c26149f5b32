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
    /// Counted among the packets that reached their end before the run did: of times this makes
    /// too little.
    Censored {
        /// Packets that were still under way at the end, of all repetitions that had any to speak
        /// of.
        under_way: u64,
        /// Packets that were sent in the measurement of these.
        sent: u64,
    },
    /// A named attack was carried out; a better attack may exist.
    Attack(String),
    /// No sound inference is known, so there is no value; the reason.
    Unsound(String),
}

/// What stands between the reasons of a claim.
const BETWEEN: &str = "; ";

impl Claim {
    /// The kind, as in files.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Approximation(_) => "approximation",
            Self::LowerBound(_) => "lower_bound",
            Self::UpperBound(_) => "upper_bound",
            Self::Counted => "counted",
            Self::Censored { .. } => "censored",
            Self::Attack(_) => "attack",
            Self::Unsound(_) => "unsound",
        }
    }

    /// What it says besides its kind; empty for nothing.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Exact | Self::Counted => String::new(),
            Self::Censored { under_way, sent } => {
                format!("{under_way} of {sent} packets were still under way at the end")
            }
            Self::Approximation(of)
            | Self::LowerBound(of)
            | Self::UpperBound(of)
            | Self::Attack(of)
            | Self::Unsound(of) => of.clone(),
        }
    }

    /// What may be claimed where both claims limit a value: the mean of values with different
    /// claims, or a value with two shortcomings. Bounds from both sides leave an approximation.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Unsound(_), _) | (_, Self::Exact | Self::Counted) => self.clone(),
            (_, Self::Unsound(_)) | (Self::Exact | Self::Counted, _) => other.clone(),
            (
                Self::Censored { under_way, sent },
                Self::Censored {
                    under_way: more,
                    sent: others,
                },
            ) => Self::Censored {
                under_way: under_way + more,
                sent: sent + others,
            },
            (Self::LowerBound(a), Self::LowerBound(b)) => Self::LowerBound(joined(a, b)),
            (Self::UpperBound(a), Self::UpperBound(b)) => Self::UpperBound(joined(a, b)),
            (Self::Attack(a), Self::Attack(b)) => Self::Attack(joined(a, b)),
            _ => Self::Approximation(joined(&self.detail(), &other.detail())),
        }
    }

    /// What may be claimed of a value that falls where the one with this claim rises: the largest
    /// probability beside the entropy.
    #[must_use]
    pub fn of_opposite(&self) -> Self {
        match self {
            Self::LowerBound(of) => Self::UpperBound(of.clone()),
            Self::UpperBound(of) => Self::LowerBound(of.clone()),
            other => other.clone(),
        }
    }

    /// What may be claimed of a value that neither rises nor falls with the one with this claim.
    #[must_use]
    pub fn of_unordered(&self) -> Self {
        match self {
            Self::LowerBound(of) | Self::UpperBound(of) => Self::Approximation(of.clone()),
            other => other.clone(),
        }
    }
}

/// The reasons of both, each once.
fn joined(first: &str, second: &str) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in first.split(BETWEEN).chain(second.split(BETWEEN)) {
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons.join(BETWEEN)
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
    /// Why there is no value, where there is none and the claim does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::Claim;

    #[test]
    fn two_claims_allow_what_both_allow() {
        let low = |of: &str| Claim::LowerBound(of.to_owned());
        let high = |of: &str| Claim::UpperBound(of.to_owned());
        let near = |of: &str| Claim::Approximation(of.to_owned());
        let none = Claim::Unsound("no".to_owned());
        let censored = |under_way, sent| Claim::Censored { under_way, sent };
        for (first, second, both) in [
            (Claim::Exact, Claim::Exact, Claim::Exact),
            (Claim::Exact, low("a"), low("a")),
            (low("a; b"), low("b; c"), low("a; b; c")),
            (low("a"), high("b"), near("a; b")),
            (near("a"), low("b"), near("a; b")),
            (high("a"), none.clone(), none.clone()),
            (censored(1, 10), Claim::Counted, censored(1, 10)),
            (censored(1, 10), censored(2, 20), censored(3, 30)),
        ] {
            assert_eq!(first.and(&second), both);
            let turned = second.and(&first);
            assert_eq!(turned.kind(), both.kind());
        }
        assert_eq!(low("a").of_opposite(), high("a"));
        assert_eq!(high("a").of_opposite(), low("a"));
        assert_eq!(Claim::Exact.of_opposite(), Claim::Exact);
        assert_eq!(low("a").of_unordered(), near("a"));
    }
}
