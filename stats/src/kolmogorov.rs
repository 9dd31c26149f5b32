//! The two-sample test of Kolmogorov and Smirnov.

use crate::math;
use crate::sample::sorted;

/// What a two-sample Kolmogorov-Smirnov test found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KolmogorovSmirnov {
    /// The largest distance between the two empirical distributions, 0 to 1.
    pub statistic: f64,
    /// The probability of a distance at least as large if both samples come from one continuous
    /// distribution, 0 to 1. Asymptotic, with Stephens' correction: good from about 4 values a
    /// side, and conservative for samples with ties.
    pub p_value: f64,
}

/// Compares two samples (Smirnov 1948; the p-value after Stephens 1970, as in Numerical Recipes,
/// section 14.3.3). Values that are not numbers are left out. `None` if a sample is empty.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
pub fn ks_two_sample(a: &[f64], b: &[f64]) -> Option<KolmogorovSmirnov> {
    let (a, b) = (sorted(a), sorted(b));
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let (mut seen_a, mut seen_b) = (0_usize, 0_usize);
    let mut statistic = 0.0_f64;
    // Both run to the end of a tie before the distributions are compared.
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        let value = x.min(**y);
        while left.next_if(|x| **x <= value).is_some() {
            seen_a += 1;
        }
        while right.next_if(|y| **y <= value).is_some() {
            seen_b += 1;
        }
        statistic = statistic.max((seen_a as f64 / n - seen_b as f64 / m).abs());
    }
    let effective = (n * m / (n + m)).sqrt();
    let lambda = (effective + 0.12 + 0.11 / effective) * statistic;
    Some(KolmogorovSmirnov {
        statistic,
        p_value: kolmogorov_tail(lambda),
    })
}

/// Compares a sample with a continuous distribution, given by its cumulative function (Kolmogorov 1933; the
/// p-value after Stephens 1970, as in Numerical Recipes, section 14.3.3). Values that are not numbers are
/// left out. `None` if the sample is empty.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
pub fn ks_one_sample(sample: &[f64], cdf: impl Fn(f64) -> f64) -> Option<KolmogorovSmirnov> {
    let sample = sorted(sample);
    if sample.is_empty() {
        return None;
    }
    let n = sample.len() as f64;
    let mut statistic = 0.0_f64;
    for (index, value) in sample.iter().enumerate() {
        let expected = cdf(*value);
        // The empirical distribution jumps here: it is compared below and above.
        let (below, above) = (index as f64 / n, (index + 1) as f64 / n);
        statistic = statistic.max(expected - below).max(above - expected);
    }
    let root = n.sqrt();
    let lambda = (root + 0.12 + 0.11 / root) * statistic;
    Some(KolmogorovSmirnov {
        statistic,
        p_value: kolmogorov_tail(lambda),
    })
}

/// The probability that Kolmogorov's distribution exceeds `lambda`: 2 Σ (-1)^(k-1) exp(-2k²λ²).
/// 0 to 1.
#[must_use]
pub fn kolmogorov_tail(lambda: f64) -> f64 {
    // Below this the series converges slowly, and the sum is one to twelve digits.
    if lambda.is_nan() || lambda < 0.2 {
        return 1.0;
    }
    let mut sum = 0.0;
    let mut sign = 1.0;
    for k in 1..=100_u32 {
        let k = f64::from(k);
        let term = math::exp(-2.0 * k * k * lambda * lambda);
        sum += sign * term;
        if term < 1e-16 {
            break;
        }
        sign = -sign;
    }
    (2.0 * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn the_kolmogorov_distribution_matches_its_table() {
        // Critical values of the two-sided test, from Smirnov's table.
        for (lambda, p) in [
            (1.2238, 0.10),
            (1.3581, 0.05),
            (1.6276, 0.01),
            (1.9495, 0.001),
        ] {
            assert!((kolmogorov_tail(lambda) - p).abs() < p * 0.002, "{lambda}");
        }
        assert!((kolmogorov_tail(0.0) - 1.0).abs() < 1e-12);
        assert!((kolmogorov_tail(0.200_001) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_statistic_of_small_samples_is_exact() {
        let ks = ks_two_sample(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]).unwrap();
        assert!((ks.statistic - 0.5).abs() < 1e-12);
        let ties = ks_two_sample(&[1.0, 1.0, 1.0], &[1.0, 1.0]).unwrap();
        assert!(ties.statistic.abs() < 1e-12);
        assert!((ties.p_value - 1.0).abs() < 1e-12);
        assert_eq!(ks_two_sample(&[], &[1.0]), None);
        assert_eq!(ks_two_sample(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn p_values_are_uniform_when_there_is_nothing_to_find() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
        let rejected = (0..1000)
            .filter(|_| ks_two_sample(&draw(200), &draw(150)).unwrap().p_value < 0.05)
            .count();
        // Binomial(1000, 0.05): mean 50, standard deviation 6.9; four of them either way.
        assert!((23..=77).contains(&rejected), "{rejected} of 1000");
    }

    #[test]
    fn a_shifted_sample_is_found() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let a: Vec<f64> = (0..500).map(|_| rng.random::<f64>()).collect();
        let b: Vec<f64> = (0..500).map(|_| rng.random::<f64>() + 0.2).collect();
        assert!(ks_two_sample(&a, &b).unwrap().p_value < 1e-6);
    }

    #[test]
    fn one_sample_is_compared_with_what_it_was_drawn_from() {
        let uniform = |x: f64| x.clamp(0.0, 1.0);
        // Half of it lies below a quarter: the distance is largest there.
        let ks = ks_one_sample(&[0.1, 0.2, 0.6, 0.9], uniform).unwrap();
        assert!((ks.statistic - 0.3).abs() < 1e-12);
        assert_eq!(ks_one_sample(&[f64::NAN], uniform), None);
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
        let rejected = (0..1000)
            .filter(|_| ks_one_sample(&draw(200), uniform).unwrap().p_value < 0.05)
            .count();
        assert!((23..=77).contains(&rejected), "{rejected} of 1000");
        let shifted: Vec<f64> = draw(500).iter().map(|x| x + 0.1).collect();
        assert!(ks_one_sample(&shifted, uniform).unwrap().p_value < 1e-3);
    }
}
