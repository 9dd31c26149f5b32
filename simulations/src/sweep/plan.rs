//! A sweep with every point known: what it does, by hashes and numbers, without the scenarios.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::disk;
use super::error::SweepError;
use super::part::{Identity, checksum};
use super::shard::Shard;

/// The version of the plan's format.
const FORMAT: u32 = 1;

/// What a sweep does. Two sweeps with equal plans give equal files, so a plan lies beside the
/// parts, and shards are merged if their plans agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    format: u32,
    /// The version of the simulator.
    pub(super) version: String,
    /// BLAKE2b-256 over keys, points and repetitions.
    pub(super) sweep_hash: String,
    /// The hash of the scenario that all points start from.
    pub(super) scenario_hash: String,
    /// The seed of every point.
    pub(super) seed: u64,
    /// Independent runs of every point.
    pub(super) repetitions: u32,
    /// The keys that differ from point to point.
    pub(super) keys: Vec<String>,
    /// The points, in the order of the tables.
    pub(super) points: Vec<Point>,
}

/// One point of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Point {
    /// A value for each key.
    pub(super) values: Vec<Value>,
    /// The hash of the scenario that they make.
    pub(super) scenario_hash: String,
}

/// One run of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) point: usize,
    pub(super) repetition: u32,
}

impl Plan {
    pub(super) fn new(
        scenario_hash: String,
        seed: u64,
        repetitions: u32,
        keys: Vec<String>,
        points: Vec<Point>,
    ) -> Self {
        let mut plan = Self {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sweep_hash: String::new(),
            scenario_hash,
            seed,
            repetitions,
            keys,
            points,
        };
        plan.sweep_hash = plan.own_hash();
        plan
    }

    /// The same with these points.
    pub(super) fn with_points(mut self, points: Vec<Point>) -> Self {
        self.points = points;
        self.sweep_hash = self.own_hash();
        self
    }

    fn own_hash(&self) -> String {
        let content = (
            &self.scenario_hash,
            self.repetitions,
            &self.keys,
            &self.points,
        );
        #[expect(
            clippy::expect_used,
            reason = "text, finite numbers, and maps with text keys"
        )]
        checksum(&serde_json::to_vec(&content).expect("a plan has a JSON form"))
    }

    /// Every run: point by point, and in a point repetition by repetition.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Job> + '_ {
        (0..self.points.len()).flat_map(|point| {
            (0..self.repetitions).map(move |repetition| Job { point, repetition })
        })
    }

    /// The runs of a shard, in order.
    pub(super) fn jobs_of(&self, shard: Shard) -> impl Iterator<Item = Job> + '_ {
        let numbered = (0_u64..).zip(self.jobs());
        numbered
            .filter(move |(number, _)| shard.has(*number))
            .map(|(_, job)| job)
    }

    /// How many runs there are.
    pub(super) fn runs(&self) -> usize {
        let repetitions = usize::try_from(self.repetitions).unwrap_or(usize::MAX);
        self.points.len().saturating_mul(repetitions)
    }

    /// What a run's part is called and must say.
    pub(super) fn identity(&self, job: Job) -> Identity {
        let point = self.points.get(job.point);
        Identity {
            version: self.version.clone(),
            scenario_hash: point.map_or_else(String::new, |point| point.scenario_hash.clone()),
            seed: self.seed,
            repetition: job.repetition,
        }
    }

    /// The keys and values of a point, for people.
    pub(super) fn settings(&self, point: usize) -> String {
        let values = self
            .points
            .get(point)
            .map_or(&[][..], |point| &point.values);
        let pairs = self.keys.iter().zip(values);
        let pairs: Vec<String> = pairs
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        pairs.join(", ")
    }

    /// Writes the plan into a sweep's folder, if it is not there already.
    ///
    /// # Errors
    /// [`SweepError::Files`].
    pub(super) fn write(&self, out: &Path) -> Result<(), SweepError> {
        let path = path(out);
        let text = self.text();
        if disk::read(&path)?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        disk::write_whole(&path, text.as_bytes())
    }

    fn text(&self) -> String {
        #[expect(
            clippy::expect_used,
            reason = "text, finite numbers, and maps with text keys"
        )]
        let text = serde_json::to_string_pretty(self).expect("a plan has a JSON form");
        text + "\n"
    }

    /// Reads the plan of a sweep's folder.
    ///
    /// # Errors
    /// [`SweepError::NotASweep`] if there is none or it is damaged, [`SweepError::Files`].
    pub(super) fn read(out: &Path) -> Result<Self, SweepError> {
        let path = path(out);
        let not = |problem: &str| SweepError::NotASweep {
            path: path.clone(),
            problem: problem.to_owned(),
        };
        let content = disk::read(&path)?.ok_or_else(|| {
            not("no such file: this is no folder of a sweep or of one of its shards")
        })?;
        let plan: Self = serde_json::from_slice(&content)
            .map_err(|error| not(&format!("not a plan of this version of shoal-sim: {error}")))?;
        let width = plan.keys.len();
        if plan.format != FORMAT
            || plan.sweep_hash != plan.own_hash()
            || plan.points.iter().any(|point| point.values.len() != width)
        {
            return Err(not(
                "damaged, or of another version; start the sweep again to write it anew",
            ));
        }
        Ok(plan)
    }
}

fn path(out: &Path) -> PathBuf {
    out.join("plan.json")
}

/// A value of a sweep file as JSON; whole numbers stay whole.
pub(super) fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(yes) => Value::from(*yes),
        toml::Value::Datetime(date) => Value::from(date.to_string()),
        toml::Value::Array(values) => values.iter().map(json).collect(),
        toml::Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| (key.clone(), json(value)));
            Value::Object(entries.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, Plan, Point, path};
    use crate::sweep::shard::Shard;

    fn plan(values: &[f64], seed: u64, repetitions: u32) -> Plan {
        let point = |value: &f64| Point {
            values: vec![(*value).into()],
            scenario_hash: format!("{value}"),
        };
        Plan::new(
            "name".into(),
            seed,
            repetitions,
            vec!["a".into()],
            values.iter().map(point).collect(),
        )
    }

    #[test]
    fn jobs_go_point_by_point_and_shards_part_them() {
        let plan = plan(&[1.0, 2.0, 3.0], 1, 2);
        let all: Vec<Job> = plan.jobs().collect();
        assert_eq!(all.len(), plan.runs());
        assert_eq!(
            all[3],
            Job {
                point: 1,
                repetition: 1
            }
        );
        let shard: Shard = "2/4".parse().unwrap();
        assert_eq!(plan.jobs_of(shard).collect::<Vec<_>>(), [all[1], all[5]]);
        assert_eq!(plan.settings(1), "a = 2.0");
    }

    #[test]
    fn a_plan_comes_back_and_damage_is_noticed() {
        let out = tempfile::tempdir().unwrap();
        let plan = plan(&[0.1 + 0.2, 5e-324], 7, 3);
        assert!(
            Plan::read(out.path())
                .unwrap_err()
                .to_string()
                .contains("no such file")
        );
        plan.write(out.path()).unwrap();
        assert_eq!(Plan::read(out.path()).unwrap(), plan);
        let text = std::fs::read_to_string(path(out.path())).unwrap();
        for (from, to) in [
            ("5e-324", "6e-320"),
            ("\"repetitions\": 3", "\"repetitions\": 2"),
            ("\"format\": 1", "\"format\": 2"),
            ("{", ""),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            std::fs::write(path(out.path()), changed).unwrap();
            assert!(Plan::read(out.path()).is_err(), "{from}");
        }
    }
}
