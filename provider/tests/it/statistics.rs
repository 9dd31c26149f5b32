//! Kolmogorov-Smirnov tests. Seeds are fixed, so a verdict is always the same; the level says how
//! rarely a correct program would have failed when the seed was chosen.

/// The statistic above which a test at the level 0.1% fails, for many samples:
/// sqrt(-ln(0.0005) / 2) is 1.95.
const CRITICAL: f64 = 1.95;

fn distance(mut samples: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let n = samples.len() as f64;
    let gap = |(i, x): (usize, &f64)| {
        let expected = cdf(*x);
        (expected - i as f64 / n)
            .abs()
            .max((expected - (i + 1) as f64 / n).abs())
    };
    samples.iter().enumerate().map(gap).fold(0.0, f64::max)
}

/// Whether the samples may come from an exponential distribution with this mean.
pub fn is_exponential(samples: &[f64], mean: f64) -> bool {
    let d = distance(samples.to_vec(), |x| 1.0 - (-x / mean).exp());
    d * (samples.len() as f64).sqrt() < CRITICAL
}

/// Whether both may come from one distribution.
pub fn are_alike(a: &[f64], b: &[f64]) -> bool {
    let mut sorted = b.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cdf = |x: f64| sorted.partition_point(|y| *y <= x) as f64 / sorted.len() as f64;
    let (n, m) = (a.len() as f64, b.len() as f64);
    distance(a.to_vec(), cdf) * (n * m / (n + m)).sqrt() < CRITICAL
}

#[test]
fn the_tests_reject_what_is_different() {
    let quantile = |i: usize, mean: f64| -mean * (1.0 - (i as f64 + 0.5) / 2000.0).ln();
    let exponential = |mean: f64| (0..2000).map(|i| quantile(i, mean)).collect::<Vec<_>>();
    let uniform: Vec<f64> = (0..2000).map(|i| i as f64 / 1000.0).collect();
    assert!(is_exponential(&exponential(1.0), 1.0));
    assert!(!is_exponential(&exponential(1.15), 1.0));
    assert!(!is_exponential(&uniform, 1.0));
    assert!(are_alike(&exponential(1.0), &exponential(1.02)));
    assert!(!are_alike(&exponential(1.0), &exponential(1.2)));
}
