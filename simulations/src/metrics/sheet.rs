//! Where metrics write their values down.

use crate::adversary::Adversary;
use crate::measure::{Claim, Measured};

/// The values of one repetition.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    rows: Vec<Measured>,
}

impl Sheet {
    /// Writes a value down. What can't be claimed has no value, and what is no number has none.
    pub(super) fn put(
        &mut self,
        adversary: Option<&Adversary>,
        (name, unit): (impl Into<String>, &str),
        value: Option<f64>,
        claim: &Claim,
    ) {
        let sound = !matches!(claim, Claim::Unsound(_));
        self.rows.push(Measured {
            name: name.into(),
            adversary: adversary.map(|adversary| adversary.name.clone()),
            unit: unit.to_owned(),
            value: value.filter(|value| sound && value.is_finite()),
            claim: claim.clone(),
            knowledge: adversary.map(Adversary::knowledge).unwrap_or_default(),
        });
    }

    pub(super) fn into_rows(self) -> Vec<Measured> {
        self.rows
    }
}

/// A count as a value.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
pub(super) fn count(count: u64) -> f64 {
    count as f64
}

/// A share of counts; `None` of nothing.
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| count(part) / count(whole))
}
