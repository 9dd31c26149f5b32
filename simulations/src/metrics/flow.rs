//! Flow matching: which flow that enters the network is which that leaves it, by the counts of
//! packets in bins of time.
//!
//! Sources: B. N. Levine, M. K. Reiter, C. Wang, M. Wright, "Timing Attacks in Low-Latency
//! Mix-Based Systems", 2004 (correlation of counts in bins); the curve is that of
//! [`roc`].

use super::roc::{self, Roc};

/// Pearson's correlation of two series of counts over the bins that both have, -1 to 1; 0 if one
/// of them does not vary.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bins")]
pub fn correlation(a: &[u32], b: &[u32]) -> f64 {
    let length = a.len().min(b.len());
    if length == 0 {
        return 0.0;
    }
    let n = length as f64;
    let (mut sum_a, mut sum_b) = (0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        sum_a += f64::from(*x);
        sum_b += f64::from(*y);
    }
    let (mean_a, mean_b) = (sum_a / n, sum_b / n);
    let (mut both, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x) - mean_a, f64::from(*y) - mean_b);
        both += x * y;
        square_a += x * x;
        square_b += y * y;
    }
    let spread = (square_a * square_b).sqrt();
    if spread > 0.0 { both / spread } else { 0.0 }
}

/// Scores each flow that enters against each that leaves, and draws the curve. `true_pair` says
/// whether the flows with these two places belong together.
#[must_use]
pub fn match_flows(
    entering: &[Vec<u32>],
    leaving: &[Vec<u32>],
    true_pair: impl Fn(usize, usize) -> bool,
) -> Option<Roc> {
    let mut scores = Vec::with_capacity(entering.len() * leaving.len());
    for (sender, sent) in entering.iter().enumerate() {
        for (receiver, received) in leaving.iter().enumerate() {
            scores.push((correlation(sent, received), true_pair(sender, receiver)));
        }
    }
    roc::roc(&scores)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::seed;

    #[test]
    fn correlations_by_hand() {
        assert!((correlation(&[1, 2, 3], &[2, 4, 6]) - 1.0).abs() < 1e-15);
        assert!((correlation(&[1, 2, 3], &[3, 2, 1]) + 1.0).abs() < 1e-15);
        // Deviations (-1, 0, 1) and (-1, 2, -1): orthogonal.
        assert!(correlation(&[0, 1, 2], &[0, 3, 0]).abs() < 1e-15);
        assert!(correlation(&[1, 1], &[1, 2]).abs() < 1e-15);
        assert!(correlation(&[], &[1]).abs() < 1e-15);
    }

    #[test]
    fn flows_that_pass_at_once_are_all_found_and_independent_ones_are_not() {
        let mut rng = seed::generator(15, 0, "flow test", 0);
        let mut flows = |count: usize| -> Vec<Vec<u32>> {
            (0..count)
                .map(|_| (0..200).map(|_| rng.random_range(0..5)).collect())
                .collect()
        };
        let (entering, other) = (flows(30), flows(30));
        let found = match_flows(&entering, &entering, |a, b| a == b).unwrap();
        assert!((found.area - 1.0).abs() < 1e-15);
        let blind = match_flows(&entering, &other, |a, b| a == b).unwrap();
        // Mann-Whitney of 30 against 870: standard deviation about 0.055.
        assert!((blind.area - 0.5).abs() < 0.2, "{}", blind.area);
        assert!(match_flows(&entering, &other, |_, _| false).is_none());
    }
}
