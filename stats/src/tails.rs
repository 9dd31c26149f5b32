//! Tails of the distributions that test statistics have.

use crate::distribution::invert;
use crate::math;
use crate::special::gamma_q;

/// The probability that a chi-squared variable with `degrees` degrees of freedom, at least one, exceeds
/// `statistic`, by the incomplete gamma function (Abramowitz and Stegun 26.4.19).
#[must_use]
pub fn chi_squared_tail(statistic: f64, degrees: u32) -> f64 {
    let degrees = f64::from(degrees.max(1));
    gamma_q(degrees / 2.0, statistic.max(0.0) / 2.0)
}

/// The probability that a standard normal variable exceeds `z` (Abramowitz and Stegun 26.2.17,
/// error below 1e-7).
#[must_use]
pub fn normal_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let coefficients = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_53,
    ];
    let polynomial = coefficients.iter().fold(0.0, |sum, c| (sum + c) * t);
    let density = math::exp(-z * z / 2.0) / (2.0 * std::f64::consts::PI).sqrt();
    let upper = (density * polynomial).clamp(0.0, 1.0);
    if z >= 0.0 { upper } else { 1.0 - upper }
}

/// The z that a standard normal variable does not exceed with probability p, by bisection of
/// [`normal_tail`]. Infinite at 0 and 1; not a number for other p outside 0 to 1.
#[must_use]
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p < 0.5 {
        return -normal_quantile(1.0 - p);
    }
    invert(2.0 * p - 1.0, |z| 1.0 - 2.0 * normal_tail(z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_their_tables() {
        assert!((normal_tail(1.959_964) - 0.025).abs() < 1e-6);
        assert!((normal_tail(-1.959_964) - 0.975).abs() < 1e-6);
        assert!((chi_squared_tail(18.307, 10) - 0.05).abs() < 1e-5);
        assert!((chi_squared_tail(9.348, 3) - 0.025).abs() < 1e-5);
        assert!((chi_squared_tail(3.841_459, 1) - 0.05).abs() < 1e-6);
        assert!((chi_squared_tail(-1.0, 1) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_match_their_tables() {
        for (p, z) in [
            (0.5, 0.0),
            (0.95, 1.644_854),
            (0.975, 1.959_964),
            (0.01, -2.326_348),
        ] {
            let ours = normal_quantile(p);
            assert!((ours - z).abs() < 1e-5, "{p}: {ours}");
        }
        assert!(normal_quantile(1.0).is_infinite() && normal_quantile(1.5).is_nan());
    }
}
