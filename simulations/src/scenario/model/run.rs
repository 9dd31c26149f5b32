//! `[run]`.

use serde::{Deserialize, Serialize};

use crate::scenario::{Seconds, error::Problems};

/// The longest phase: a year.
const LONGEST: f64 = 366.0 * 86_400.0;
/// The most time bins of a run.
const MAX_BINS: f64 = 10_000_000.0;

/// `[run]`: the seed, how often the run is repeated, and its phases. A run warms up, is measured,
/// and drains; messages that are sent in the measurement count, wherever they are when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// From which all random numbers come; 0 to 2^63 - 1.
    #[serde(default = "one")]
    pub seed: u64,
    /// Independent repetitions, from which confidence intervals come; 1 to 1,000,000.
    #[serde(default = "ten")]
    pub repetitions: u32,
    /// Before the measurement: pools fill and forget that they were empty.
    #[serde(default)]
    pub warm_up: Seconds,
    /// The measurement.
    pub measure: Seconds,
    /// After the measurement, traffic goes on so that what was sent can arrive.
    #[serde(default)]
    pub drain: Seconds,
    /// The length of a time bin of the report.
    #[serde(default = "second")]
    pub bin: Seconds,
}

impl Run {
    /// From the start to the end of the run.
    #[must_use]
    pub fn length(&self) -> f64 {
        self.warm_up.get() + self.measure.get() + self.drain.get()
    }

    pub(in crate::scenario) fn check(&self, problems: &mut Problems) {
        // A TOML integer is an i64.
        if i64::try_from(self.seed).is_err() {
            problems.refuse("run.seed", self.seed, "must be 0 to 9223372036854775807");
        }
        problems.count("run.repetitions", self.repetitions, (1, 1_000_000));
        for (key, value, low) in [
            ("run.warm_up", self.warm_up, 0.0),
            ("run.measure", self.measure, 1e-6),
            ("run.drain", self.drain, 0.0),
        ] {
            if !(low..=LONGEST).contains(&value.get()) {
                problems.refuse(key, value, format!("must be {low}s to 366d"));
            }
        }
        let bins = self.length() / self.bin.get();
        if self.bin.get() <= 0.0 || bins > MAX_BINS {
            problems.refuse(
                "run.bin",
                self.bin,
                "must be above 0s and give at most 10000000 bins in the whole run",
            );
        }
    }
}

const fn one() -> u64 {
    1
}

const fn ten() -> u32 {
    10
}

fn second() -> Seconds {
    Seconds::new(1.0).unwrap_or_default()
}
