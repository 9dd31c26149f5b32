//! What a network's profiles give and take: how long a text is on its way, and how well a packet hides its
//! sender, at several numbers of users. `shoal client profile` and the page show the table that
//! [`measure`] makes; it is committed (`node/src/profiles.json`), and a test holds its head against the parameters.
//!
//! Delays are the closed forms of [`shoal_topology::Ways`]. Bits are simulated: who sees all links gives each client a
//! probability of having sent a packet that came out, and the bits are the entropy of that, over packets. What is left out of
//! the simulation is given to the adversary ([`LEFT_OUT`]), so that they are a lower bound.

mod cell;
mod figure;

use std::collections::BTreeMap;

use serde::Serialize;
use shoal_topology::{NetworkParameters, Profile, TYPICAL_LINK};

use self::cell::{Cell, mixes_per_layer};
pub use self::figure::figure;
use crate::measure::Claim;
use crate::run::{RunError, Watch};
use crate::scenario::ScenarioError;

/// Users of a profile who are online together.
pub const USERS: [u32; 4] = [10, 100, 1_000, 10_000];
/// With so many users the curve is drawn.
pub const CURVE_USERS: u32 = 1_000;
/// Mean delays of a hop along the curve, in units of the network's.
const CURVE: [f64; 7] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

/// Why the bits are a lower bound.
pub const LEFT_OUT: &str = "the adversary is told which packets are loops, answers, for mailboxes or of nodes, and how \
                            long providers hold each";
/// What the bits are not about.
pub const NOT_SAID: &str = "of one packet, in layers of as many mixes as are named, against somebody who sees every link and runs no \
                            node; with more mixes fewer packets meet in each, and who runs nodes or can tell that several \
                            packets have one sender knows more";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfilesError {
    /// A profile's rates make no scenario.
    #[error("profile {profile}: it can't be simulated")]
    Scenario {
        /// The profile.
        profile: String,
        /// What is wrong.
        source: ScenarioError,
    },
    /// A run failed.
    #[error("profile {profile}: a simulation failed")]
    Run {
        /// The profile.
        profile: String,
        /// What failed.
        source: RunError,
    },
    /// A run gave no bits, and no claim that says why: a fault of the program.
    #[error("profile {0}: a simulation gave no entropy")]
    Nothing(String),
}

/// What the table was made from. All of it decides what is in the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Head {
    /// The command that makes it anew.
    pub command: String,
    /// Of the program that made it.
    pub version: String,
    /// The seed of the simulations.
    pub seed: u64,
    /// Independent runs of each number; intervals come from these.
    pub repetitions: u32,
    /// Layers of mixes.
    pub layers: u8,
    /// The mean delay of a hop, in seconds.
    pub mean_delay_s: f64,
    /// What each link is taken to add, in seconds.
    pub link_s: f64,
    /// The network's profiles.
    pub profiles: BTreeMap<String, Profile>,
}

impl Head {
    /// For a network.
    #[must_use]
    pub fn new(params: &NetworkParameters, seed: u64, repetitions: u32) -> Self {
        Self {
            command: format!("shoal-sim profiles --seed {seed} --repetitions {repetitions}"),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            seed,
            repetitions,
            layers: params.layers,
            mean_delay_s: params.mean_delay.as_secs_f64(),
            link_s: TYPICAL_LINK.as_secs_f64(),
            profiles: params.profiles.clone(),
        }
    }
}

/// How well a packet hides its sender. Bits are rounded to thousandths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bits {
    /// The mean over packets of the entropy over clients, in bits. None where nothing sound is known.
    pub mean: Option<f64>,
    /// The ends of the mean's 95% interval.
    pub interval: Option<(f64, f64)>,
    /// One packet in twenty has a smaller min-entropy than this, in bits.
    pub worst_twentieth: Option<f64>,
    /// What may be claimed of all of them.
    #[serde(flatten)]
    pub claim: Claim,
}

/// With so many users online.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Size {
    /// Clients of this profile that are online together.
    pub users: u32,
    /// Mixes in each layer: three, or as many as carry the packets.
    pub mixes_per_layer: u32,
    /// How well one of them hides.
    #[serde(flatten)]
    pub bits: Bits,
}

/// With another mean delay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnCurve {
    /// The mean delay of a hop, in seconds.
    pub mean_delay_s: f64,
    /// How long a text takes to a receiver who is online, in seconds: half of them are faster.
    pub p50_s: f64,
    /// Ninety-nine in a hundred are faster.
    pub p99_s: f64,
    /// How well one of [`CURVE_USERS`] hides.
    #[serde(flatten)]
    pub bits: Bits,
}

/// What one profile gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// By number of users.
    pub sizes: Vec<Size>,
    /// Bits against seconds, by mean delay.
    pub curve: Vec<OnCurve>,
}

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profiles {
    /// What it was made from.
    pub head: Head,
    /// What the bits say nothing of.
    pub not_said: String,
    /// By the profile's name.
    pub profiles: BTreeMap<String, Row>,
}

impl Profiles {
    /// As JSON with a line break at its end.
    ///
    /// # Errors
    /// A fault of the program.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Simulates all that is in the table, on so many threads (0: one for each core), which do not show in it.
///
/// # Errors
/// What can't be simulated, or failed.
pub fn measure(
    params: &NetworkParameters,
    (seed, repetitions): (u64, u32),
    threads: usize,
    watch: &dyn Watch,
) -> Result<Profiles, ProfilesError> {
    let rows = params.profiles.iter().map(|(name, profile)| {
        let bits = |users: u32, mean_delay_s: f64| {
            let cell = Cell {
                name,
                profile,
                layers: params.layers,
                mean_delay_s,
                users,
            };
            cell.bits((seed, repetitions), threads, watch)
        };
        let present = params.mean_delay.as_secs_f64();
        let sizes = USERS.into_iter().map(|users| {
            Ok(Size {
                users,
                mixes_per_layer: mixes_per_layer(profile, users),
                bits: bits(users, present)?,
            })
        });
        let curve = CURVE.into_iter().map(|times| {
            let mean_delay_s = present * times;
            let mut ways = params.ways(TYPICAL_LINK);
            ways.mean_delay = mean_delay_s;
            let delivery = ways.delivery(&profile.waits(0.0));
            Ok(OnCurve {
                mean_delay_s,
                p50_s: rounded(delivery.quantile(0.5)),
                p99_s: rounded(delivery.quantile(0.99)),
                bits: bits(CURVE_USERS, mean_delay_s)?,
            })
        });
        let row = Row {
            sizes: sizes.collect::<Result<_, ProfilesError>>()?,
            curve: curve.collect::<Result<_, ProfilesError>>()?,
        };
        Ok((name.clone(), row))
    });
    Ok(Profiles {
        head: Head::new(params, seed, repetitions),
        not_said: NOT_SAID.to_owned(),
        profiles: rows.collect::<Result<_, ProfilesError>>()?,
    })
}

/// To thousandths.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// How many runs that is, and how much virtual time in all, in seconds.
#[must_use]
pub fn extent(params: &NetworkParameters, repetitions: u32) -> (u64, f64) {
    let present = params.mean_delay.as_secs_f64();
    let (mut runs, mut seconds) = (0, 0.0);
    for (name, profile) in &params.profiles {
        let sizes = USERS.into_iter().map(|users| (users, present));
        let curve = CURVE.into_iter().map(|it| (CURVE_USERS, present * it));
        for (users, mean_delay_s) in sizes.chain(curve) {
            let cell = Cell {
                name,
                profile,
                layers: params.layers,
                mean_delay_s,
                users,
            };
            runs += u64::from(repetitions);
            seconds += f64::from(repetitions) * cell.seconds();
        }
    }
    (runs, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Unwatched;

    /// The table that the node has.
    fn kept() -> serde_json::Value {
        serde_json::from_str(include_str!("../../../node/src/profiles.json")).unwrap()
    }

    const ANEW: &str = "make node/src/profiles.json anew: shoal-sim profiles --out node/src/profiles.json \
                        --figure docs/simulator/profiles.svg";

    #[test]
    fn the_table_that_is_kept_is_of_the_present_parameters() {
        let kept = kept();
        let params = NetworkParameters::example();
        let head = &kept["head"];
        let repetitions = head["repetitions"].as_u64().unwrap();
        let present = Head::new(
            &params,
            head["seed"].as_u64().unwrap(),
            u32::try_from(repetitions).unwrap(),
        );
        assert_eq!(serde_json::to_value(&present).unwrap(), *head, "{ANEW}");
        assert!(repetitions >= 10, "{repetitions}");
        assert_eq!(kept["not_said"], NOT_SAID, "{ANEW}");
        let named: Vec<&String> = kept["profiles"].as_object().unwrap().keys().collect();
        assert_eq!(named, params.profiles.keys().collect::<Vec<_>>(), "{ANEW}");
    }

    /// One number of it, simulated again: an engine that has changed shows here.
    #[test]
    fn the_table_that_is_kept_is_what_comes_out_now() {
        let kept = kept();
        let params = NetworkParameters::example();
        let head = &kept["head"];
        let (seed, repetitions) = (&head["seed"], &head["repetitions"]);
        let repetitions = u32::try_from(repetitions.as_u64().unwrap()).unwrap();
        for (name, users) in [("mobile", 100), ("default", 10)] {
            let cell = Cell {
                name,
                profile: &params.profiles[name],
                layers: params.layers,
                mean_delay_s: params.mean_delay.as_secs_f64(),
                users,
            };
            let bits = cell.bits((seed.as_u64().unwrap(), repetitions), 0, &Unwatched);
            let bits = serde_json::to_value(bits.unwrap()).unwrap();
            let sizes = kept["profiles"][name]["sizes"].as_array().unwrap();
            let size = sizes.iter().find(|it| it["users"] == users).unwrap();
            for (key, value) in bits.as_object().unwrap() {
                assert_eq!(size[key], *value, "{name} {users} {key}: {ANEW}");
            }
        }
    }

    /// Nobody hides among more than there are, more users never hide worse, and nothing is claimed that is not a bound.
    #[test]
    fn the_table_that_is_kept_makes_sense() {
        let kept = kept();
        for (name, row) in kept["profiles"].as_object().unwrap() {
            let sizes = row["sizes"].as_array().unwrap();
            let bits: Vec<f64> = sizes
                .iter()
                .map(|it| it["mean"].as_f64().unwrap())
                .collect();
            assert!(bits.is_sorted(), "{name}: {bits:?}");
            for (size, bits) in sizes.iter().zip(bits) {
                let users = size["users"].as_f64().unwrap();
                assert!(
                    bits <= shoal_stats::math::log2(users),
                    "{name}: {bits} bits of {users} users"
                );
                assert!(size["worst_twentieth"].as_f64().unwrap() <= bits);
                assert_eq!(size["kind"], "lower_bound");
            }
            let curve = row["curve"].as_array().unwrap();
            let values = |key: &str| {
                curve
                    .iter()
                    .map(|it| it[key].as_f64().unwrap())
                    .collect::<Vec<_>>()
            };
            assert!(values("p50_s").is_sorted() && values("mean").is_sorted());
        }
    }
}
