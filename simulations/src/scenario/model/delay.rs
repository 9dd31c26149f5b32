//! `[delay]` and `[links]`: how long packets are held and travel.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::scenario::{Seconds, error::Problems};

/// The longest mean of a delay: a day.
const LONGEST: f64 = 86_400.0;

/// `[delay]`: how long a mix, and optionally a provider, holds a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delays {
    /// At each mix, drawn anew for each packet and mix.
    pub mixes: Distribution,
    /// At each provider; without it providers pass packets on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub providers: Option<Distribution>,
}

/// `[links]`: how long packets travel and how many are lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    /// What every packet takes on a link, on top of `delay`.
    #[serde(default)]
    pub base: Seconds,
    /// Of every link, or, with a matrix, of the links between clients and the network.
    #[serde(default = "Distribution::none", deserialize_with = "constant_or_table")]
    pub delay: Distribution,
    /// A file with the delay from each node to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<PathBuf>,
    /// The probability that a link loses a packet.
    #[serde(default)]
    pub loss: f64,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            base: Seconds::ZERO,
            delay: Distribution::none(),
            matrix: None,
            loss: 0.0,
        }
    }
}

/// How delays are distributed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
#[non_exhaustive]
pub enum Distribution {
    /// Always the same.
    Constant {
        /// The delay.
        mean: Seconds,
    },
    /// Exponential, the memoryless one.
    Exponential {
        /// The mean, 1/mu.
        mean: Seconds,
    },
    /// Uniform between two bounds.
    Uniform {
        /// The least.
        min: Seconds,
        /// The most.
        max: Seconds,
    },
    /// The sum of `shape` exponentials.
    Erlang {
        /// The mean of the sum.
        mean: Seconds,
        /// How many, at least 1.
        shape: u32,
    },
    /// Gamma.
    Gamma {
        /// The mean.
        mean: Seconds,
        /// The shape, above 0; 1 is the exponential.
        shape: f64,
    },
    /// The logarithm is normal.
    Lognormal {
        /// The mean of the delay itself.
        mean: Seconds,
        /// The standard deviation of the delay itself.
        deviation: Seconds,
    },
    /// Pareto: heavy tail above a least value, `mean (shape - 1) / shape`.
    Pareto {
        /// The mean.
        mean: Seconds,
        /// The tail's exponent, above 1.
        shape: f64,
    },
}

/// A distribution as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    distribution: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mean: Option<Seconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<Seconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Seconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deviation: Option<Seconds>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    #[default]
    Constant,
    Exponential,
    Uniform,
    Erlang,
    Gamma,
    Lognormal,
    Pareto,
}

impl Name {
    /// The keys that a distribution takes, all of them required.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Constant | Self::Exponential => &["mean"],
            Self::Uniform => &["min", "max"],
            Self::Erlang | Self::Gamma | Self::Pareto => &["mean", "shape"],
            Self::Lognormal => &["mean", "deviation"],
        }
    }
}

impl TryFrom<Written> for Distribution {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let name = written.distribution;
        let given = [
            ("mean", written.mean.is_some()),
            ("min", written.min.is_some()),
            ("max", written.max.is_some()),
            ("shape", written.shape.is_some()),
            ("deviation", written.deviation.is_some()),
        ];
        let wrong = given
            .iter()
            .any(|(key, is)| *is != name.keys().contains(key));
        let keys = || {
            format!(
                "this distribution takes exactly: {}",
                name.keys().join(", ")
            )
        };
        if wrong {
            return Err(keys());
        }
        let mean = written.mean.unwrap_or_default();
        let shape = written.shape.unwrap_or_default();
        Ok(match name {
            Name::Constant => Self::Constant { mean },
            Name::Exponential => Self::Exponential { mean },
            Name::Uniform => Self::Uniform {
                min: written.min.unwrap_or_default(),
                max: written.max.unwrap_or_default(),
            },
            Name::Erlang => Self::Erlang {
                mean,
                shape: whole(shape)?,
            },
            Name::Gamma => Self::Gamma { mean, shape },
            Name::Lognormal => Self::Lognormal {
                mean,
                deviation: written.deviation.unwrap_or_default(),
            },
            Name::Pareto => Self::Pareto { mean, shape },
        })
    }
}

/// A whole number from 1 to 1000.
fn whole(shape: f64) -> Result<u32, String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to 1000 and whole"
    )]
    let number = shape.clamp(0.0, 1000.0) as u32;
    if number >= 1 && (f64::from(number) - shape).abs() < f64::EPSILON {
        Ok(number)
    } else {
        Err(format!(
            "the shape of an erlang is a whole number from 1 to 1000, not {shape}"
        ))
    }
}

impl From<Distribution> for Written {
    fn from(distribution: Distribution) -> Self {
        let mut written = Self::default();
        let (name, mean, shape) = match distribution {
            Distribution::Constant { mean } => (Name::Constant, Some(mean), None),
            Distribution::Exponential { mean } => (Name::Exponential, Some(mean), None),
            Distribution::Uniform { min, max } => {
                (written.min, written.max) = (Some(min), Some(max));
                (Name::Uniform, None, None)
            }
            Distribution::Erlang { mean, shape } => {
                (Name::Erlang, Some(mean), Some(f64::from(shape)))
            }
            Distribution::Gamma { mean, shape } => (Name::Gamma, Some(mean), Some(shape)),
            Distribution::Lognormal { mean, deviation } => {
                written.deviation = Some(deviation);
                (Name::Lognormal, Some(mean), None)
            }
            Distribution::Pareto { mean, shape } => (Name::Pareto, Some(mean), Some(shape)),
        };
        (written.distribution, written.mean, written.shape) = (name, mean, shape);
        written
    }
}

impl Distribution {
    /// No delay at all.
    #[must_use]
    pub const fn none() -> Self {
        Self::Constant {
            mean: Seconds::ZERO,
        }
    }

    /// The mean in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Uniform { min, max } => f64::midpoint(min.get(), max.get()),
            Self::Constant { mean }
            | Self::Exponential { mean }
            | Self::Erlang { mean, .. }
            | Self::Gamma { mean, .. }
            | Self::Lognormal { mean, .. }
            | Self::Pareto { mean, .. } => mean.get(),
        }
    }

    /// The least that can be drawn, in seconds.
    #[must_use]
    pub fn least(&self) -> f64 {
        match self {
            Self::Constant { mean } => mean.get(),
            Self::Uniform { min, .. } => min.get(),
            Self::Pareto { mean, shape } => mean.get() * (shape - 1.0) / shape,
            Self::Exponential { .. }
            | Self::Erlang { .. }
            | Self::Gamma { .. }
            | Self::Lognormal { .. } => 0.0,
        }
    }

    /// Whether an adversary who sees a pool learns nothing from how long a packet has been there.
    #[must_use]
    pub const fn is_memoryless(&self) -> bool {
        matches!(
            self,
            Self::Exponential { .. } | Self::Erlang { shape: 1, .. }
        )
    }

    /// Checks the ranges; `key` is where the distribution is written.
    pub(in crate::scenario) fn check(&self, key: &str, problems: &mut Problems) {
        let mean = self.mean();
        if let Self::Uniform { min, max } = self {
            if min > max {
                let reason = format!("must be at least min = {min}");
                problems.refuse(format!("{key}.max"), max, reason);
            }
            if max.get() > LONGEST {
                problems.refuse(format!("{key}.max"), max, "must be 0s to 1d");
            }
        } else if mean > LONGEST {
            problems.refuse(
                format!("{key}.mean"),
                format!("{mean}s"),
                "must be 0s to 1d",
            );
        } else if mean <= 0.0 && !matches!(self, Self::Constant { .. }) {
            problems.refuse_with_hint(
                format!("{key}.mean"),
                format!("{mean}s"),
                "must be above 0s and at most 1d",
                "no delay is distribution = \"constant\" with mean = \"0s\"",
            );
        }
        match self {
            Self::Gamma { shape, .. } => {
                problems.within(format!("{key}.shape"), *shape, (0.01, 1000.0));
            }
            Self::Pareto { shape, .. } => {
                problems.within(format!("{key}.shape"), *shape, (1.01, 1000.0));
            }
            Self::Lognormal { deviation, .. } if deviation.get() > 100.0 * mean => {
                problems.refuse(
                    format!("{key}.deviation"),
                    deviation,
                    "must be 0 to 100 times the mean",
                );
            }
            _ => {}
        }
    }
}

impl Links {
    /// The mean delay of a link outside the matrix, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.base.get() + self.delay.mean()
    }

    /// The least delay of a link outside the matrix, in seconds.
    #[must_use]
    pub fn least(&self) -> f64 {
        self.base.get() + self.delay.least()
    }

    pub(in crate::scenario) fn check(&self, problems: &mut Problems) {
        self.delay.check("links.delay", problems);
        if self.base.get() > LONGEST {
            problems.refuse("links.base", self.base, "must be 0s to 1d");
        }
        if !(0.0..1.0).contains(&self.loss) {
            problems.refuse("links.loss", self.loss, "must be 0 or more, and below 1");
        }
    }
}

/// `"40ms"` for a constant, or a table for a distribution.
fn constant_or_table<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Distribution, D::Error> {
    struct Visitor;

    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Distribution;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a length of time in quotes, as \"40ms\", or { distribution = ... }")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Distribution, E> {
            let mean = Seconds::parse(text)
                .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))?;
            Ok(Distribution::Constant { mean })
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Distribution, A::Error> {
            Distribution::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_any(Visitor)
}
