//! What is asked for.

use serde::Serialize;

use crate::engine::EngineError;
use crate::run::RunError;

/// What is asked for. Everything but the first four has a default; see [`Request::new`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// Users in all: 2 to 10^9.
    pub users: u64,
    /// Bound on the latency that 99% of the messages keep, in seconds: above 0, at most a day.
    pub p99: f64,
    /// Bytes per second of each client, both directions together: above 0.
    pub bandwidth: f64,
    /// The share of the mixes that is corrupt: 0 to 0.95.
    pub corrupt: f64,
    /// Bound on the probability that a path is corrupt throughout: 0 to 1. 0.01 by default.
    pub max_corrupt_path: f64,
    /// Which latency is bounded.
    pub latency: Latencies,
    /// Delay of every link in seconds, 0 to 10. 0.04 by default.
    pub link: f64,
    /// The share of the users that is online at a time: above 0, at most 1. 1 by default.
    pub active: f64,
    /// Messages that a user sends per second while online, and receives: 0 to 100. Fifty a day by
    /// default.
    pub message_rate: f64,
    /// People whom a user writes to: at least 1. 20 by default. Only the time to disclosure needs
    /// it.
    pub contacts: u32,
    /// Most mixes in all; none for as many as it takes.
    pub max_mixes: Option<u32>,
    /// Packets per second that a mix can carry: above 0. 5000 by default, about half a core's
    /// worth.
    pub mix_capacity: f64,
    /// Least mixes of a layer: 1 to 1000. 2 by default, so that a layer outlives one of its mixes.
    pub min_width: u32,
    /// Most layers: 1 to 12. 8 by default; the network itself takes at most 3.
    pub max_layers: u32,
    /// Seed of the simulations.
    pub seed: u64,
    /// How much to simulate.
    pub thoroughness: Thoroughness,
}

/// Which latency is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Latencies {
    /// From handing a message of one packet to the sender's client to its arrival at the
    /// receiver's client, who is online: the waits for the client's, the mailbox's and the
    /// downlink's clocks, and both ways through the mixes.
    Delivery,
    /// From leaving the sender's client to the receiver's provider: the entry provider's delay,
    /// the mixes and the links.
    Path,
}

/// How much to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thoroughness {
    /// Networks of the front that are simulated.
    pub front: usize,
    /// Repetitions of each.
    pub repetitions: u32,
    /// Finalists at most.
    pub finalists: usize,
    /// Repetitions of each finalist, on fresh seeds; at least 2.
    pub final_repetitions: u32,
    /// Targets of a repetition: messages that the adversary looks for.
    pub targets: u32,
    /// Packets times layers of a repetition at most. Larger networks are simulated with fewer
    /// users, and carried over by the closed form.
    pub hops: f64,
}

impl Thoroughness {
    /// About a minute on two cores.
    pub const FULL: Self = Self {
        front: 8,
        repetitions: 3,
        finalists: 3,
        final_repetitions: 8,
        targets: 200,
        hops: 1.5e6,
    };
    /// Some seconds.
    pub const QUICK: Self = Self {
        front: 4,
        repetitions: 2,
        finalists: 2,
        final_repetitions: 4,
        targets: 100,
        hops: 4e5,
    };
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdviseError {
    /// A value is out of range.
    #[error("{key} = {value} is out of range: {range}; {hint}")]
    Range {
        /// Which.
        key: &'static str,
        /// What it was.
        value: String,
        /// What it may be.
        range: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Not even one simulation fits into the memory that is there.
    #[error("there is too little memory; ask for less with --quick")]
    Memory(#[source] Box<RunError>),
    /// A simulation failed.
    #[error("a simulation failed")]
    Engine(#[source] EngineError),
    /// A simulation ended without a target that came out.
    #[error("no target came out of the simulation of {0}; ask for more targets or more users")]
    NoTargets(String),
    /// The proposal does not fit the node's parameters.
    #[error("the proposal can't be written as network parameters: {0}")]
    Parameters(String),
}

impl Request {
    /// With defaults for the rest: users, p99 in seconds, bytes per second of each client (both
    /// directions together), and the share of corrupt mixes.
    #[must_use]
    pub fn new(users: u64, p99: f64, bandwidth: f64, corrupt: f64) -> Self {
        Self {
            users,
            p99,
            bandwidth,
            corrupt,
            max_corrupt_path: 0.01,
            latency: Latencies::Delivery,
            link: 0.04,
            active: 1.0,
            message_rate: 50.0 / 86_400.0,
            contacts: 20,
            max_mixes: None,
            mix_capacity: 5000.0,
            min_width: 2,
            max_layers: 8,
            seed: 1,
            thoroughness: Thoroughness::FULL,
        }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// The first value that is out of range.
    pub fn validate(&self) -> Result<(), AdviseError> {
        let checks = [
            self.check_needs(),
            self.check_model(),
            self.check_limits(),
            self.check_thoroughness(),
        ];
        checks.into_iter().collect()
    }

    fn check_needs(&self) -> Result<(), AdviseError> {
        let needs = [
            (
                (2..=1_000_000_000).contains(&self.users),
                "users",
                self.users.to_string(),
                "2 to 1000000000",
                "one user alone is known",
            ),
            (
                self.p99 > 0.0 && self.p99 <= 86_400.0,
                "p99",
                self.p99.to_string(),
                "above 0, at most 86400 seconds",
                "it is in seconds",
            ),
            (
                self.bandwidth > 0.0 && self.bandwidth <= 1e9,
                "bandwidth",
                self.bandwidth.to_string(),
                "above 0, at most 1e9 bytes per second",
                "it is in bytes per second and client, both directions together",
            ),
            (
                (0.0..=0.95).contains(&self.corrupt),
                "corrupt",
                self.corrupt.to_string(),
                "0 to 0.95",
                "it is a share of the mixes: 0.2 for a fifth",
            ),
        ];
        first_wrong(needs)
    }

    fn check_model(&self) -> Result<(), AdviseError> {
        let online = self.users as f64 * self.active;
        first_wrong([
            (
                (0.0..=1.0).contains(&self.max_corrupt_path),
                "max-corrupt-path",
                self.max_corrupt_path.to_string(),
                "0 to 1",
                "it is the probability of one path",
            ),
            (
                (0.0..=10.0).contains(&self.link),
                "link",
                self.link.to_string(),
                "0 to 10 seconds",
                "give a unit, as in 40ms",
            ),
            (
                self.active > 0.0 && self.active <= 1.0 && online >= 2.0,
                "active",
                self.active.to_string(),
                "above 0, at most 1, and at least two users online",
                "it is the share of the users that is online at a time",
            ),
            (
                (0.0..=100.0).contains(&self.message_rate),
                "message-rate",
                self.message_rate.to_string(),
                "0 to 100 messages per second",
                "50 a day are 0.00058",
            ),
            (
                self.contacts >= 1,
                "contacts",
                self.contacts.to_string(),
                "at least 1",
                "people whom a user writes to",
            ),
        ])
    }

    fn check_limits(&self) -> Result<(), AdviseError> {
        first_wrong([
            (
                self.max_mixes != Some(0),
                "mixes",
                "0".to_owned(),
                "at least 1",
                "leave it out for as many as it takes",
            ),
            (
                self.mix_capacity > 0.0 && self.mix_capacity.is_finite(),
                "mix-capacity",
                self.mix_capacity.to_string(),
                "above 0 packets per second",
                "a core unwraps some thousand packets per second",
            ),
            (
                (1..=1000).contains(&self.min_width),
                "min-width",
                self.min_width.to_string(),
                "1 to 1000",
                "mixes of a layer",
            ),
            (
                (1..=12).contains(&self.max_layers),
                "max-layers",
                self.max_layers.to_string(),
                "1 to 12",
                "the network itself takes at most 3",
            ),
        ])
    }

    fn check_thoroughness(&self) -> Result<(), AdviseError> {
        let t = &self.thoroughness;
        first_wrong([(
            t.front >= 1
                && t.repetitions >= 1
                && t.finalists >= 1
                && t.final_repetitions >= 2
                && t.targets >= 1
                && t.hops > 0.0,
            "thoroughness",
            format!("{t:?}"),
            "at least 1 each, and 2 final repetitions",
            "intervals come from repetitions",
        )])
    }

    /// Users online at a time.
    #[must_use]
    pub fn online(&self) -> f64 {
        (self.users as f64 * self.active).round().max(2.0)
    }
}

type Check = (bool, &'static str, String, &'static str, &'static str);

fn first_wrong<const N: usize>(checks: [Check; N]) -> Result<(), AdviseError> {
    for (holds, key, value, range, hint) in checks {
        if !holds {
            return Err(AdviseError::Range {
                key,
                value,
                range,
                hint,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_named() {
        let good = Request::new(1000, 5.0, 30_000.0, 0.2);
        assert!(good.validate().is_ok());
        let bad = [
            ("users", Request::new(1, 5.0, 30_000.0, 0.2)),
            ("p99", Request::new(1000, f64::NAN, 30_000.0, 0.2)),
            ("bandwidth", Request::new(1000, 5.0, 0.0, 0.2)),
            ("corrupt", Request::new(1000, 5.0, 30_000.0, 1.0)),
            (
                "active",
                Request {
                    active: 0.001,
                    ..good.clone()
                },
            ),
            (
                "max-layers",
                Request {
                    max_layers: 13,
                    ..good.clone()
                },
            ),
        ];
        for (name, request) in bad {
            let refused = request.validate();
            assert!(
                matches!(&refused, Err(AdviseError::Range { key, .. }) if *key == name),
                "{name}: {refused:?}"
            );
        }
    }
}
