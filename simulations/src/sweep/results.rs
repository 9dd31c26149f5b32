//! From parts to tables: one row per point, one row per run, and what may be claimed.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::claims::Claims;
use super::error::SweepError;
use super::part::Part;
use super::plan::{Job, Plan};
use super::{disk, tables};
use crate::run::{Summary, summarise};

/// The files of a finished sweep, besides its plan and parts.
const FILES: [&str; 7] = [
    "sweep.json",
    "results.csv",
    "results.parquet",
    "runs.csv",
    "runs.parquet",
    "claims.csv",
    "claims.parquet",
];

/// `sweep.json`: what the tables are of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meta {
    /// The version of the simulator.
    pub version: String,
    /// The hash of the scenario that all points start from; `results` has each point's own.
    pub scenario_hash: String,
    /// BLAKE2b-256 over keys, points with their scenarios' hashes, and repetitions.
    pub sweep_hash: String,
    /// The seed of every point.
    pub seed: u64,
    /// Independent runs of every point.
    pub repetitions: u32,
    /// How many points.
    pub points: usize,
    /// The keys that differ from point to point.
    pub keys: Vec<String>,
    /// The metrics, in the order of the columns.
    pub metrics: Vec<Metric>,
}

/// A metric of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// The column of its mean in `results`; its values in `runs` have the same name.
    pub column: String,
    /// The metric.
    pub name: String,
    /// The adversary that it is about.
    pub adversary: Option<String>,
    /// The unit.
    pub unit: String,
}

/// The values of one metric, row by row of both tables.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Mean, low, high, standard error of each point.
    pub(super) points: [Vec<Option<f64>>; 4],
    /// The value of each run.
    pub(super) runs: Vec<Option<f64>>,
}

/// Everything that the tables hold. Memory: 40 bytes for each point and metric, 16 for each run
/// and metric, and one point's parts.
#[derive(Debug, Default)]
pub(super) struct Collected {
    pub(super) metrics: Vec<Metric>,
    pub(super) values: Vec<Values>,
    pub(super) claims: Claims,
    /// Rows so far.
    points: usize,
    runs: usize,
    index: BTreeMap<(String, Option<String>), usize>,
}

impl Collected {
    /// Adds a point with the parts of all its repetitions, in order.
    fn add(&mut self, parts: Vec<Part>) {
        let runs: Vec<_> = parts.into_iter().map(|part| part.measured).collect();
        for summary in summarise(&runs) {
            let metric = self.metric(&summary);
            self.claims.add(metric, self.points, &summary);
            if let Some(values) = self.values.get_mut(metric) {
                let Summary {
                    mean,
                    low,
                    high,
                    standard_error,
                    ..
                } = summary;
                for (column, value) in
                    values
                        .points
                        .iter_mut()
                        .zip([mean, low, high, standard_error])
                {
                    column.resize(self.points, None);
                    column.push(value);
                }
            }
        }
        for run in &runs {
            for measured in run {
                let key = (measured.name.clone(), measured.adversary.clone());
                let values = self
                    .index
                    .get(&key)
                    .and_then(|metric| self.values.get_mut(*metric));
                if let Some(values) = values {
                    values.runs.resize(self.runs, None);
                    values.runs.push(measured.value);
                }
            }
            self.runs += 1;
        }
        self.points += 1;
    }

    /// The number of a metric, a new one for a metric that is seen for the first time.
    fn metric(&mut self, summary: &Summary) -> usize {
        let key = (summary.name.clone(), summary.adversary.clone());
        if let Some(metric) = self.index.get(&key) {
            return *metric;
        }
        self.metrics.push(Metric {
            column: summary.key(),
            name: summary.name.clone(),
            adversary: summary.adversary.clone(),
            unit: summary.unit.clone(),
        });
        self.values.push(Values::default());
        self.index.insert(key, self.metrics.len() - 1);
        self.metrics.len() - 1
    }

    /// Fills the columns of metrics that the last rows don't have.
    fn finish(mut self) -> Self {
        for values in &mut self.values {
            for column in &mut values.points {
                column.resize(self.points, None);
            }
            values.runs.resize(self.runs, None);
        }
        self
    }
}

/// Writes all tables of a sweep whose every part `find` can give, and `sweep.json` last.
pub(super) fn write(
    plan: &Plan,
    out: &Path,
    mut find: impl FnMut(Job) -> Result<Part, SweepError>,
) -> Result<Meta, SweepError> {
    remove(out)?;
    let mut collected = Collected::default();
    for point in 0..plan.points.len() {
        let jobs = (0..plan.repetitions).map(|repetition| Job { point, repetition });
        collected.add(jobs.map(&mut find).collect::<Result<_, _>>()?);
    }
    let mut collected = collected.finish();
    let meta = Meta {
        version: plan.version.clone(),
        scenario_hash: plan.scenario_hash.clone(),
        sweep_hash: plan.sweep_hash.clone(),
        seed: plan.seed,
        repetitions: plan.repetitions,
        points: plan.points.len(),
        keys: plan.keys.clone(),
        metrics: std::mem::take(&mut collected.metrics),
    };
    tables::write(plan, &meta, collected, out)?;
    #[expect(clippy::expect_used, reason = "text and whole numbers")]
    let text = serde_json::to_string_pretty(&meta).expect("has a JSON form") + "\n";
    disk::write_whole(&out.join("sweep.json"), text.as_bytes())?;
    Ok(meta)
}

/// Removes the tables of an earlier sweep, so that none lie beside a plan that they don't follow.
pub(super) fn remove(out: &Path) -> Result<(), SweepError> {
    FILES
        .iter()
        .try_for_each(|name| disk::remove(&out.join(name)))
}

#[cfg(test)]
mod tests {
    use super::Collected;
    use crate::measure::{Claim, Measured};
    use crate::sweep::part::{Identity, Part};

    fn part(repetition: u32, values: &[(&str, f64)]) -> Part {
        let measured = |(name, value): &(&str, f64)| Measured {
            name: (*name).to_owned(),
            adversary: Some("a".to_owned()),
            unit: "1".to_owned(),
            value: Some(*value),
            claim: Claim::Counted,
            knowledge: String::new(),
        };
        let run = Identity {
            version: String::new(),
            scenario_hash: String::new(),
            seed: 0,
            repetition,
        };
        Part::new(run, values.iter().map(measured).collect())
    }

    #[test]
    fn a_metric_that_some_points_lack_leaves_empty_cells_there() {
        let mut collected = Collected::default();
        collected.add(vec![
            part(0, &[("x", 1.0)]),
            part(1, &[("x", 3.0), ("y", 7.0)]),
        ]);
        collected.add(vec![part(0, &[("z", 5.0)]), part(1, &[("z", 5.0)])]);
        collected.add(vec![part(0, &[("x", 4.0)]), part(1, &[("x", f64::NAN)])]);
        let collected = collected.finish();
        let columns: Vec<&str> = collected
            .metrics
            .iter()
            .map(|m| m.column.as_str())
            .collect();
        assert_eq!(columns, ["x.a", "y.a", "z.a"]);
        let [x, y, z] = &collected.values[..] else {
            panic!("three metrics");
        };
        assert_eq!(x.points[0], [Some(2.0), None, Some(4.0)]);
        assert_eq!(x.points[3], [Some(1.0), None, None]);
        assert_eq!(x.runs, [Some(1.0), Some(3.0), None, None, Some(4.0), None]);
        assert_eq!(y.points[0], [Some(7.0), None, None]);
        assert_eq!(y.runs, [None, Some(7.0), None, None, None, None]);
        assert_eq!(z.points[0], [None, Some(5.0), None]);
        assert_eq!(z.runs, [None, None, Some(5.0), Some(5.0), None, None]);
    }
}
