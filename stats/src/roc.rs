//! The receiver operating characteristic of a score: how many true pairs a threshold finds, and
//! how many false ones it finds with them.
//!
//! Source: T. Fawcett, "An introduction to ROC analysis", 2006 (ties: its algorithm 1; the area is
//! the Mann-Whitney statistic with ties counted half).

use serde::{Deserialize, Serialize};

/// One threshold of a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Pairs with at least this score are called linked. Infinite for the first point.
    pub threshold: f64,
    /// The share of false pairs that are called linked, 0 to 1.
    pub false_positives: f64,
    /// The share of true pairs that are called linked, 0 to 1.
    pub true_positives: f64,
}

/// A curve from (0, 0) to (1, 1) and the area under it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// One point for each distinct score, from the highest down, after the point (0, 0).
    pub points: Vec<Point>,
    /// The probability that a true pair scores higher than a false one, a tie counted half.
    /// 0 to 1; 0.5 is guessing.
    pub area: f64,
}

/// The curve for these scores, each with whether its pair is a true one. Scores that are not
/// numbers count as the lowest. `None` without a true or without a false pair.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 pairs")]
pub fn roc(scores: &[(f64, bool)]) -> Option<Roc> {
    let mut scores: Vec<(f64, bool)> = scores
        .iter()
        .map(|(score, truth)| {
            let score = if score.is_nan() {
                f64::NEG_INFINITY
            } else {
                *score
            };
            (score, *truth)
        })
        .collect();
    let positives = scores.iter().filter(|(_, truth)| *truth).count() as f64;
    let negatives = scores.len() as f64 - positives;
    if positives < 1.0 || negatives < 1.0 {
        return None;
    }
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut points = vec![Point {
        threshold: f64::INFINITY,
        false_positives: 0.0,
        true_positives: 0.0,
    }];
    let (mut hits, mut alarms, mut area) = (0.0_f64, 0.0_f64, 0.0_f64);
    // Equal scores pass a threshold together: the curve crosses them in one straight line, which
    // counts a tie half. (Zero and minus zero are one score.)
    for tie in scores.chunk_by(|a, b| a.0 <= b.0) {
        let found = tie.iter().filter(|(_, truth)| *truth).count() as f64;
        let false_ones = tie.len() as f64 - found;
        area += false_ones * (hits + found / 2.0);
        hits += found;
        alarms += false_ones;
        points.push(Point {
            threshold: tie.first().map_or(f64::NEG_INFINITY, |(score, _)| *score),
            false_positives: alarms / negatives,
            true_positives: hits / positives,
        });
    }
    Some(Roc {
        points,
        area: area / (positives * negatives),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn separated_scores_have_area_one_and_reversed_ones_zero() {
        let right = [(3.0, true), (2.0, true), (1.0, false)];
        assert!((roc(&right).unwrap().area - 1.0).abs() < 1e-15);
        let wrong = [(1.0, true), (3.0, false)];
        assert!(roc(&wrong).unwrap().area.abs() < 1e-15);
    }

    #[test]
    fn ties_count_half_in_any_order() {
        // Pairs (true, false): 3>2, 3>1, 2=2, 2>1: (1 + 1 + 0.5 + 1) / 4.
        let mut scores = [(2.0, false), (3.0, true), (1.0, false), (2.0, true)];
        for _ in 0..2 {
            let roc = roc(&scores).unwrap();
            assert!((roc.area - 0.875).abs() < 1e-15);
            let points: Vec<_> = roc
                .points
                .iter()
                .map(|p| (p.false_positives, p.true_positives))
                .collect();
            assert_eq!(points, [(0.0, 0.0), (0.0, 0.5), (0.5, 1.0), (1.0, 1.0)]);
            scores.reverse();
        }
        let same = [(0.0, true), (-0.0, false), (0.0, true)];
        let same = roc(&same).unwrap();
        assert!((same.area - 0.5).abs() < 1e-15);
        assert_eq!(same.points.len(), 2);
    }

    #[test]
    fn what_is_not_a_number_is_the_lowest_score() {
        let scores = [(f64::NAN, true), (0.0, false)];
        assert!(roc(&scores).unwrap().area.abs() < 1e-15);
        assert_eq!(roc(&[(1.0, true)]), None);
        assert_eq!(roc(&[(1.0, false)]), None);
    }
}
