//! What may be claimed of each metric, stretch by stretch of points.

use std::collections::BTreeMap;

use crate::measure::Claim;
use crate::run::Summary;

/// Consecutive points at which a metric's claim is the same.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    /// The metric's number in the order of the tables.
    pub(super) metric: usize,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) claim: Claim,
    pub(super) knowledge: String,
    /// Why runs have no value, if some have none.
    pub(super) absent: Option<String>,
}

/// Collects the claims of a sweep in the order of its points.
#[derive(Debug, Default)]
pub(super) struct Claims {
    ended: Vec<Stretch>,
    open: BTreeMap<usize, Stretch>,
}

impl Claims {
    /// Adds a metric of a point; points come in order.
    pub(super) fn add(&mut self, metric: usize, point: usize, summary: &Summary) {
        if let Some(open) = self.open.get_mut(&metric) {
            let same = open.claim == summary.claim
                && open.knowledge == summary.knowledge
                && open.absent == summary.absent;
            if same && open.last + 1 == point {
                open.last = point;
                return;
            }
        }
        let stretch = Stretch {
            metric,
            first: point,
            last: point,
            claim: summary.claim.clone(),
            knowledge: summary.knowledge.clone(),
            absent: summary.absent.clone(),
        };
        self.ended.extend(self.open.insert(metric, stretch));
    }

    /// All stretches, metric by metric and in the order of points.
    pub(super) fn finish(self) -> Vec<Stretch> {
        let mut all = self.ended;
        all.extend(self.open.into_values());
        all.sort_by_key(|stretch| (stretch.metric, stretch.first));
        all
    }
}

/// A claim as two cells: its kind, and what it says besides.
pub(super) fn cells(claim: &Claim) -> (&'static str, String) {
    (claim.kind(), claim.detail())
}

#[cfg(test)]
mod tests {
    use super::{Claims, cells};
    use crate::measure::Claim;
    use crate::run::Summary;

    fn summary(claim: Claim) -> Summary {
        Summary {
            name: "m".into(),
            adversary: None,
            unit: "1".into(),
            mean: None,
            standard_error: None,
            low: None,
            high: None,
            repetitions: 0,
            claim,
            knowledge: String::new(),
            absent: None,
        }
    }

    #[test]
    fn a_stretch_ends_where_the_claim_changes_or_the_metric_is_absent() {
        let mut claims = Claims::default();
        for (metric, point, claim) in [
            (1, 0, Claim::Exact),
            (0, 0, Claim::Counted),
            (1, 1, Claim::Exact),
            (1, 2, Claim::Unsound("why".into())),
            (0, 2, Claim::Counted),
        ] {
            claims.add(metric, point, &summary(claim));
        }
        let found: Vec<_> = claims
            .finish()
            .into_iter()
            .map(|s| (s.metric, s.first, s.last, cells(&s.claim).0))
            .collect();
        let expected = [
            (0, 0, 0, "counted"),
            (0, 2, 2, "counted"),
            (1, 0, 1, "exact"),
            (1, 2, 2, "unsound"),
        ];
        assert_eq!(found, expected);
    }
}
