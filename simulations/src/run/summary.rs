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
    /// Why repetitions gave no value, where some did not and the claim does not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
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
/// them. Values inside a repetition are correlated and never counted as independent: intervals
/// from them would be ten times too sure. What is claimed holds for every repetition.
#[must_use]
pub fn summarise(repetitions: &[Vec<Measured>]) -> Vec<Summary> {
    let mut order: Vec<&Measured> = Vec::new();
    let mut claims: BTreeMap<(&str, Option<&str>), Claim> = BTreeMap::new();
    let mut absences: BTreeMap<(&str, Option<&str>), &String> = BTreeMap::new();
    let mut values: BTreeMap<(&str, Option<&str>), Vec<f64>> = BTreeMap::new();
    for measured in repetitions.iter().flatten() {
        let key = (measured.name.as_str(), measured.adversary.as_deref());
        let entry = values.entry(key).or_insert_with(|| {
            order.push(measured);
            Vec::new()
        });
        entry.extend(measured.value.filter(|value| value.is_finite()));
        if let Some(absent) = &measured.absent {
            absences.entry(key).or_insert(absent);
        }
        claims
            .entry(key)
            .and_modify(|claim| *claim = claim.and(&measured.claim))
            .or_insert_with(|| measured.claim.clone());
    }
    order
        .into_iter()
        .map(|measured| {
            let key = (measured.name.as_str(), measured.adversary.as_deref());
            let sample = values.get(&key).map_or(&[][..], Vec::as_slice);
            let claim = claims.get(&key).unwrap_or(&measured.claim);
            let summary = one(measured, claim, sample);
            Summary {
                absent: absences.get(&key).map(|reason| (*reason).clone()),
                ..summary
            }
        })
        .collect()
}

fn one(measured: &Measured, claim: &Claim, sample: &[f64]) -> Summary {
    // Where some repetitions have no sound value, the others are a choice of them.
    let sound = !matches!(claim, Claim::Unsound(_));
    let sample = if sound { sample } else { &[] };
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
        claim: claim.clone(),
        knowledge: measured.knowledge.clone(),
        absent: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(value: f64, claim: Claim) -> Vec<Measured> {
        vec![Measured {
            name: "m".to_owned(),
            adversary: None,
            unit: "1".to_owned(),
            value: Some(value),
            claim,
            knowledge: String::new(),
            absent: None,
        }]
    }

    #[test]
    fn a_mean_claims_no_more_than_each_of_its_repetitions() {
        let low = || Claim::LowerBound("cut".to_owned());
        let runs = [measured(1.0, Claim::Exact), measured(3.0, low())];
        let found = summarise(&runs);
        let mean = found.first().unwrap();
        assert_eq!((mean.mean, &mean.claim), (Some(2.0), &low()));
        let none = Claim::Unsound("why".to_owned());
        let found = summarise(&[measured(1.0, Claim::Exact), measured(3.0, none.clone())]);
        let mean = found.first().unwrap();
        assert_eq!((mean.mean, &mean.claim), (None, &none));
        let cut = |under_way, sent| Claim::Censored { under_way, sent };
        let found = summarise(&[measured(1.0, cut(1, 5)), measured(3.0, cut(2, 6))]);
        assert_eq!(found.first().unwrap().claim, cut(3, 11));
    }
}
