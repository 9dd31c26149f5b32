//! Distributions that theory and tests share. Parameters out of range give not a number.

use crate::math;
use crate::special::{beta_i, gamma_p, gamma_q, ln_choose, ln_gamma};

/// Pr(X = k) for X Poisson with this mean (at least 0).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn poisson_pmf(k: u64, mean: f64) -> f64 {
    if mean == 0.0 {
        return if k == 0 { 1.0 } else { 0.0 };
    }
    let k = k as f64;
    math::exp(k * math::ln(mean) - mean - ln_gamma(k + 1.0))
}

/// Pr(X <= k) for X Poisson with this mean (at least 0).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn poisson_cdf(k: u64, mean: f64) -> f64 {
    gamma_q(k as f64 + 1.0, mean)
}

/// Pr(X = k) for X the successes of n trials that succeed with probability p (0 to 1).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn binomial_pmf(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k > n {
        return 0.0;
    }
    // 0 ln 0 is 0 here.
    let part = |count: u64, ln: f64| if count == 0 { 0.0 } else { count as f64 * ln };
    math::exp(ln_choose(n, k) + part(k, math::ln(p)) + part(n - k, libm::log1p(-p)))
}

/// Pr(X <= k) for X the successes of n trials that succeed with probability p (0 to 1).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k >= n {
        return 1.0;
    }
    beta_i((n - k) as f64, k as f64 + 1.0, 1.0 - p)
}

/// Pr(first success at trial k or before), k counted from 1, for trials that succeed with
/// probability p (0 to 1).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn geometric_cdf(k: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k == 0 {
        return 0.0;
    }
    -libm::expm1(k as f64 * libm::log1p(-p))
}

/// Pr(X <= t) for X the sum of `shape` exponential delays of this mean (both above 0), t in the
/// unit of the mean. Shapes that are not whole give the gamma distribution.
#[must_use]
pub fn erlang_cdf(t: f64, shape: f64, mean: f64) -> f64 {
    if mean.is_nan() || mean <= 0.0 {
        return f64::NAN;
    }
    gamma_p(shape, (t / mean).max(0.0))
}

/// Density at t of the sum of `shape` exponential delays of this mean (both above 0), per unit of
/// the mean.
#[must_use]
pub fn erlang_pdf(t: f64, shape: f64, mean: f64) -> f64 {
    if t < 0.0 {
        return 0.0;
    }
    let x = t / mean;
    let power = if shape == 1.0 {
        0.0
    } else {
        (shape - 1.0) * math::ln(x)
    };
    math::exp(power - x - ln_gamma(shape)) / mean
}

/// The t that the sum of `shape` exponential delays of this mean does not exceed with probability
/// p (0 <= p < 1), in the unit of the mean; infinite at p = 1.
#[must_use]
pub fn erlang_quantile(p: f64, shape: f64, mean: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || shape.is_nan() || shape <= 0.0 {
        return f64::NAN;
    }
    mean * invert(p, |x| gamma_p(shape, x))
}

/// The x >= 0 where an increasing function from 0 (at 0) to 1 reaches p, by doubling and
/// bisection down to the last bits.
#[must_use]
pub(crate) fn invert(p: f64, cdf: impl Fn(f64) -> f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let (mut low, mut high) = (0.0, 1.0);
    while cdf(high) < p {
        low = high;
        high *= 2.0;
        if high > 1e300 {
            return f64::INFINITY;
        }
    }
    for _ in 0..1100 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high || high - low <= 1e-15 * high {
            break;
        }
        if cdf(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn erlang_quantiles_match_the_published_path_latencies() {
        for (p, value) in [(0.5, 2.674), (0.95, 6.296), (0.99, 8.406)] {
            near(erlang_quantile(p, 3.0, 1.0), value, 0.0005);
            near(erlang_quantile(p, 3.0, 0.25), value / 4.0, 0.0005);
            near(erlang_cdf(erlang_quantile(p, 3.0, 1.0), 3.0, 1.0), p, 1e-12);
        }
        // Twice a gamma variable is chi-squared: its 95% point with 10 degrees is 18.307.
        near(2.0 * erlang_quantile(0.95, 5.0, 1.0), 18.307, 0.0005);
        // The density is the derivative.
        let step = erlang_cdf(2.0001, 3.0, 0.5) - erlang_cdf(1.9999, 3.0, 0.5);
        near(step / 0.0002, erlang_pdf(2.0, 3.0, 0.5), 1e-7);
    }

    #[test]
    fn counts_sum_to_their_distribution() {
        for mean in [0.3, 5.0, 400.0] {
            let mut sum = 0.0;
            for k in 0..600 {
                sum += poisson_pmf(k, mean);
                near(sum, poisson_cdf(k, mean), 1e-11);
            }
        }
        for p in [0.0, 0.01, 0.5, 0.97, 1.0] {
            let mut sum = 0.0;
            for k in 0..=40 {
                sum += binomial_pmf(k, 40, p);
                near(sum, binomial_cdf(k, 40, p), 1e-12);
            }
        }
        near(binomial_pmf(3, 10, 0.5), 120.0 / 1024.0, 1e-13);
        near(geometric_cdf(2, 0.1), 0.19, 1e-14);
    }

    #[test]
    fn parameters_out_of_range_are_no_number() {
        assert!(erlang_quantile(1.5, 3.0, 1.0).is_nan());
        assert!(erlang_cdf(1.0, 3.0, 0.0).is_nan());
        assert!(binomial_pmf(1, 2, 1.5).is_nan());
        assert!(geometric_cdf(1, -0.1).is_nan());
        assert!(erlang_quantile(1.0, 3.0, 1.0).is_infinite());
    }
}
