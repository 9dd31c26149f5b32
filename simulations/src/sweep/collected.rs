//! What the tables of a sweep hold, column by column.

use std::collections::BTreeMap;

use serde::Serialize;

use super::claims::Claims;
use super::part::Part;
use crate::run::{Summary, summarise};

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
    pub(super) fn add(&mut self, parts: Vec<Part>) {
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
    pub(super) fn finish(mut self) -> Self {
        for values in &mut self.values {
            for column in &mut values.points {
                column.resize(self.points, None);
            }
            values.runs.resize(self.runs, None);
        }
        self
    }
}
