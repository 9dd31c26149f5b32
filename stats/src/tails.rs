//! Tails of the distributions that test statistics have.

use crate::math;

/// The probability that a chi-squared variable with `degrees` degrees of freedom exceeds
/// `statistic`, by the Wilson-Hilferty cube root: within about 0.01 from three degrees on.
#[must_use]
pub fn chi_squared_tail(statistic: f64, degrees: u32) -> f64 {
    let k = f64::from(degrees.max(1));
    let spread = 2.0 / (9.0 * k);
    let z = (libm::cbrt(statistic.max(0.0) / k) - (1.0 - spread)) / spread.sqrt();
    normal_tail(z)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_their_tables() {
        assert!((normal_tail(1.959_964) - 0.025).abs() < 1e-6);
        assert!((normal_tail(-1.959_964) - 0.975).abs() < 1e-6);
        assert!((chi_squared_tail(18.307, 10) - 0.05).abs() < 0.002);
        assert!((chi_squared_tail(9.348, 3) - 0.025).abs() < 0.003);
    }
}
