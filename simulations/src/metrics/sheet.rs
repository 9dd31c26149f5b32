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
        let name = name.into();
        let value = value.filter(|value| sound && value.is_finite());
        let absent = (sound && value.is_none()).then(|| absence(&name).to_owned());
        self.rows.push(Measured {
            absent,
            name,
            adversary: adversary.map(|adversary| adversary.name.clone()),
            unit: unit.to_owned(),
            value,
            claim: claim.clone(),
            knowledge: adversary.map(Adversary::knowledge).unwrap_or_default(),
        });
    }

    pub(super) fn into_rows(self) -> Vec<Measured> {
        self.rows
    }
}

/// Why values are not there, by how the names of their metrics begin; the first that fits.
const ABSENCES: [(&str, &str); 21] = [
    ("latency_", "no packet of the kind reached its end"),
    ("packets_per_", "no message reached its end"),
    ("hops_per_", "no message reached its end"),
    ("bytes_per_", "no message reached its end"),
    ("epsilon_zeros", "no message of the two came out"),
    (
        "epsilon",
        "no message of the two came out at which both probabilities are above 0",
    ),
    ("delta_at_", "no message of the two came out"),
    (
        "probability_of_truth",
        "no message was a target that came out",
    ),
    ("disclosure_rounds", "the contacts were never all found"),
    ("disclosure_seconds", "the contacts were never all found"),
    ("disclosure_", "the victim wrote to nobody, or to everybody"),
    (
        "intersection_messages_to",
        "more candidates were left at the end",
    ),
    (
        "intersection_seconds_to",
        "more candidates were left at the end",
    ),
    ("intersection_", "no message of the victim arrived"),
    (
        "n_minus_one_",
        "mixes send no loops, or no attack raised an alarm",
    ),
    ("compromise_messages_mean", "no route is corrupt throughout"),
    (
        "compromise_",
        "no client wrote, or fewer than half met a route that is corrupt throughout",
    ),
    (
        "droppers_",
        "no packet of the kind came back or was lost, or no client was alarmed",
    ),
    (
        "flow_matching_",
        "no client of those compared wrote to another, or all did",
    ),
    (
        "fifo_",
        "no client sent two messages that came out, or the rate is 0",
    ),
    (
        "corrupt_provider_",
        "no message had an end at a corrupt provider",
    ),
];

/// Why a metric has no value.
fn absence(name: &str) -> &'static str {
    let known = ABSENCES.iter().find(|(start, _)| name.starts_with(start));
    if let Some((_, reason)) = known {
        return reason;
    }
    // Entropies, min-entropies, set sizes, residuals; shares of what was sent.
    if name.ends_with("_messages") || name.ends_with("_users") || name.ends_with("ward") {
        "no message was a target"
    } else {
        "no packet of the kind was sent"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_says_why() {
        let mut sheet = Sheet::default();
        let unsound = Claim::Unsound("free routes".to_owned());
        for (name, value, claim) in [
            ("delivered.real", Some(0.5), &Claim::Counted),
            ("delivered.drop", None, &Claim::Counted),
            ("epsilon.0_1", Some(f64::NAN), &Claim::Exact),
            ("entropy_forward_users", None, &Claim::Exact),
            (
                "compromise_seconds_median",
                Some(f64::INFINITY),
                &Claim::Counted,
            ),
            ("entropy_forward_users", Some(1.0), &unsound),
        ] {
            sheet.put(None, (name, "1"), value, claim);
        }
        let reasons: Vec<_> = sheet
            .into_rows()
            .into_iter()
            .map(|row| row.absent)
            .collect();
        let said = |text: &str| Some(text.to_owned());
        let expected = [
            None,
            said("no packet of the kind was sent"),
            said("no message of the two came out at which both probabilities are above 0"),
            said("no message was a target"),
            said("no client wrote, or fewer than half met a route that is corrupt throughout"),
            // The claim says it.
            None,
        ];
        assert_eq!(reasons, expected);
    }
}
