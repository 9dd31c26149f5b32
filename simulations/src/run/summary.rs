//! From the values of independent repetitions to a mean with its interval.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::{Claim, Measured};
use crate::stats;

/// A metric over all repetitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The metric.
    pub name: String,
    /// The adversary that it is about.
    pub adversary: Option<String>,
    /// The unit.
    pub unit: String,
    /// The mean over the repetitions that gave a value; `None` if none did.
    pub mean: Option<f64>,
    /// The standard error of the mean; `None` with fewer than two values.
    pub standard_error: Option<f64>,
    /// The lower end of the 95% interval, by Student's t over repetitions; `None` with fewer than
    /// two values.
    pub low: Option<f64>,
    /// The upper end of the 95% interval.
    pub high: Option<f64>,
    /// How many repetitions gave a value.
    pub repetitions: u32,
    /// What may be claimed.
    pub claim: Claim,
    /// What the adversary knows.
    pub knowledge: String,
}

impl Summary {
    /// The name of its column in tables: the metric, and `.ADVERSARY` if there is one.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.adversary {
            Some(adversary) => format!("{}.{adversary}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Summarises the repetitions, metric by metric, in the order in which the first repetition has
/// them. Values inside a repetition are correlated and never counted as independent
/// (`oracles.md`: intervals from them are ten times too sure).
#[must_use]
pub fn summarise(repetitions: &[Vec<Measured>]) -> Vec<Summary> {
    let mut order: Vec<&Measured> = Vec::new();
    let mut values: BTreeMap<(&str, Option<&str>), Vec<f64>> = BTreeMap::new();
    for measured in repetitions.iter().flatten() {
        let key = (measured.name.as_str(), measured.adversary.as_deref());
        let entry = values.entry(key).or_insert_with(|| {
            order.push(measured);
            Vec::new()
        });
        entry.extend(measured.value.filter(|value| value.is_finite()));
    }
    order
        .into_iter()
        .map(|measured| {
            let key = (measured.name.as_str(), measured.adversary.as_deref());
            let sample = values.get(&key).map_or(&[][..], Vec::as_slice);
            one(measured, sample)
        })
        .collect()
}

fn one(measured: &Measured, sample: &[f64]) -> Summary {
    let estimate = stats::Estimate::of(sample);
    let spread = estimate.as_ref().filter(|_| sample.len() > 1);
    Summary {
        name: measured.name.clone(),
        adversary: measured.adversary.clone(),
        unit: measured.unit.clone(),
        mean: estimate.as_ref().map(|estimate| estimate.mean),
        standard_error: spread.map(|estimate| estimate.standard_error),
        low: spread.map(|estimate| estimate.low),
        high: spread.map(|estimate| estimate.high),
        repetitions: u32::try_from(sample.len()).unwrap_or(u32::MAX),
        claim: measured.claim.clone(),
        knowledge: measured.knowledge.clone(),
    }
}
