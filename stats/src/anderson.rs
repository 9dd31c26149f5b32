//! The two-sample test of Anderson and Darling.

use crate::math;
use crate::sample::sorted;

/// What a two-sample Anderson-Darling test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AndersonDarling {
    /// The squared distance between the two empirical distributions, with more weight on the tails;
    /// 1 in the mean if they are one.
    pub statistic: f64,
    /// The probability of a statistic at least as large if both samples come from one continuous
    /// distribution, 0 to 1. Asymptotic: good from about ten values a side, conservative for
    /// samples with ties, and too small below 1e-5.
    pub p_value: f64,
}

/// Compares two samples. Unlike that of [`ks_two_sample`](crate::ks_two_sample), the test sees
/// differences in the tails as well as in the middle: few gaps that are far too short, say.
/// Values that are not numbers are left out. `None` if a sample is empty.
///
/// Source: Scholz and Stephens, "K-sample Anderson-Darling tests" (1987), equation 6, for two samples;
/// that the limit is the one of a single sample: Pettitt (1976).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
pub fn ad_two_sample(a: &[f64], b: &[f64]) -> Option<AndersonDarling> {
    let (a, b) = (sorted(a), sorted(b));
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let all = n + m;
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let (mut seen_a, mut seen, mut sum) = (0.0, 0.0, 0.0);
    while let Some(value) = least(left.peek().copied(), right.peek().copied()) {
        let mut tied = 0.0;
        while left.next_if(|x| **x <= value).is_some() {
            seen_a += 1.0;
            tied += 1.0;
        }
        while right.next_if(|x| **x <= value).is_some() {
            tied += 1.0;
        }
        seen += tied;
        if seen < all {
            let off = all * seen_a - n * seen;
            sum += tied * off * off / (seen * (all - seen));
        }
    }
    let statistic = sum / (n * m);
    Some(AndersonDarling {
        statistic,
        p_value: anderson_darling_tail(statistic),
    })
}

/// The probability that the limiting distribution of Anderson and Darling exceeds `statistic`, 0 to
/// 1: within about 1e-5 (Marsaglia and Marsaglia, "Evaluating the Anderson-Darling distribution",
/// 2004, `adinf`).
#[must_use]
pub fn anderson_darling_tail(statistic: f64) -> f64 {
    let z = statistic;
    if z.is_nan() || z <= 0.0 {
        return 1.0;
    }
    let below = if z < 2.0 {
        let terms = [
            2.000_12,
            0.247_105,
            -0.064_982_1,
            0.034_796_2,
            -0.011_672_0,
            0.001_686_91,
        ];
        math::exp(-1.233_714_1 / z) / z.sqrt() * polynomial(&terms, z)
    } else {
        let terms = [
            1.077_6,
            -2.306_95,
            0.434_24,
            -0.082_433,
            0.008_056,
            -0.000_314_6,
        ];
        math::exp(-math::exp(polynomial(&terms, z)))
    };
    (1.0 - below).clamp(0.0, 1.0)
}

fn least(a: Option<&f64>, b: Option<&f64>) -> Option<f64> {
    [a, b].into_iter().flatten().copied().min_by(f64::total_cmp)
}

/// The polynomial with these coefficients, the constant first.
fn polynomial(coefficients: &[f64], z: f64) -> f64 {
    coefficients.iter().rfold(0.0, |sum, c| sum * z + c)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn the_limit_matches_its_table() {
        // Anderson and Darling, "A test of goodness of fit" (1954), table 1.
        for (statistic, p) in [(1.933, 0.10), (2.492, 0.05), (3.857, 0.01)] {
            let ours = anderson_darling_tail(statistic);
            assert!((ours - p).abs() < 0.0005, "{statistic}: {ours}");
        }
        assert!((anderson_darling_tail(0.0) - 1.0).abs() < 1e-12);
        // The two branches meet.
        let jump = anderson_darling_tail(1.999_999) - anderson_darling_tail(2.0);
        assert!(jump.abs() < 1e-5, "{jump}");
    }

    #[test]
    fn the_statistic_of_small_samples_is_exact() {
        // By hand: (3 - 2)^2 / 2 after the first, (6 - 4)^2 / 2 after the second, divided by 2.
        let ad = ad_two_sample(&[1.0, 2.0], &[3.0]).unwrap();
        assert!((ad.statistic - 1.25).abs() < 1e-12);
        // The same the other way round, and nothing between equal samples.
        let turned = ad_two_sample(&[3.0], &[1.0, 2.0]).unwrap();
        assert!((turned.statistic - 1.25).abs() < 1e-12);
        let same = ad_two_sample(&[1.0, 2.0, 2.0], &[2.0, 1.0, 2.0]).unwrap();
        assert!(same.statistic.abs() < 1e-12);
        assert_eq!(ad_two_sample(&[], &[1.0]), None);
        assert_eq!(ad_two_sample(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn p_values_are_uniform_when_there_is_nothing_to_find() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
        let rejected = (0..1000)
            .filter(|_| ad_two_sample(&draw(200), &draw(150)).unwrap().p_value < 0.05)
            .count();
        // Binomial(1000, 0.05): mean 50, standard deviation 6.9; four of them either way.
        assert!((23..=77).contains(&rejected), "{rejected} of 1000");
    }

    #[test]
    fn a_tail_is_found_that_kolmogorov_and_smirnov_miss() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let a: Vec<f64> = (0..1000).map(|_| 0.1 + rng.random::<f64>()).collect();
        let mut b: Vec<f64> = (0..1000).map(|_| 0.1 + rng.random::<f64>()).collect();
        b.iter_mut().take(15).for_each(|x| *x = 0.01);
        let ad = ad_two_sample(&a, &b).unwrap();
        let ks = crate::ks_two_sample(&a, &b).unwrap();
        assert!(ad.p_value < ks.p_value, "{ad:?} {ks:?}");
    }
}
