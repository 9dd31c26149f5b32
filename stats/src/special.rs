//! Special functions, from one math library and so with the same bits on every machine.

use crate::math;

/// Steps after which a series or a continued fraction gives up; it converges in about the square
/// root of its parameter.
const STEPS: u32 = 100_000;
const TINY: f64 = 1e-300;
const PRECISION: f64 = 1e-16;

/// Logarithm of the gamma function, for x > 0.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    math::ln_gamma(x)
}

/// The derivative of [`ln_gamma`], for x > 0, to about 13 digits; not a number elsewhere. Upward
/// recurrence, then the asymptotic series (Abramowitz and Stegun 6.3.5 and 6.3.18).
#[must_use]
pub fn digamma(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    let mut x = x;
    let mut below = 0.0;
    while x < 12.0 {
        below += 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    // Bernoulli numbers: B_2n / 2n.
    let coefficients = [
        1.0 / 12.0,
        -1.0 / 120.0,
        1.0 / 252.0,
        -1.0 / 240.0,
        1.0 / 132.0,
        -691.0 / 32760.0,
        1.0 / 12.0,
    ];
    let series = coefficients
        .iter()
        .rev()
        .fold(0.0, |sum, c| (sum + c) * square);
    math::ln(x) - 0.5 / x - series - below
}

/// Logarithm of the number of ways to choose k of n; minus infinity where there is none.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn ln_choose(n: u64, k: u64) -> f64 {
    if k > n {
        return f64::NEG_INFINITY;
    }
    if k == 0 || k == n {
        return 0.0;
    }
    let ln_factorial = |n: u64| ln_gamma(n as f64 + 1.0);
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// The regularised lower incomplete gamma function P(a, x), 0 to 1, for a > 0 and x >= 0; not a
/// number elsewhere. Series and continued fraction (Numerical Recipes, section 6.2).
#[must_use]
pub fn gamma_p(a: f64, x: f64) -> f64 {
    if a.is_nan() || x.is_nan() || a <= 0.0 || x < 0.0 {
        return f64::NAN;
    }
    if x == 0.0 {
        return 0.0;
    }
    if x.is_infinite() {
        return 1.0;
    }
    if x < a + 1.0 {
        gamma_series(a, x)
    } else {
        1.0 - gamma_fraction(a, x)
    }
}

/// The upper counterpart of [`gamma_p`], without the cancellation of 1 - P in the tail.
#[must_use]
pub fn gamma_q(a: f64, x: f64) -> f64 {
    if a > 0.0 && x.is_finite() && x >= a + 1.0 {
        gamma_fraction(a, x)
    } else {
        1.0 - gamma_p(a, x)
    }
}

fn gamma_series(a: f64, x: f64) -> f64 {
    let mut term = 1.0 / a;
    let mut sum = term;
    let mut denominator = a;
    for _ in 0..STEPS {
        denominator += 1.0;
        term *= x / denominator;
        sum += term;
        if term < sum * PRECISION {
            break;
        }
    }
    (sum * math::exp(a * math::ln(x) - x - ln_gamma(a))).clamp(0.0, 1.0)
}

fn gamma_fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..STEPS {
        let i = f64::from(i);
        let numerator = -i * (i - a);
        b += 2.0;
        d = 1.0 / away_from_zero(numerator * d + b);
        c = away_from_zero(b + numerator / c);
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < PRECISION {
            break;
        }
    }
    (fraction * math::exp(a * math::ln(x) - x - ln_gamma(a))).clamp(0.0, 1.0)
}

/// The regularised incomplete beta function I_x(a, b), 0 to 1, for a, b > 0 and 0 <= x <= 1; not
/// a number elsewhere. Lentz's continued fraction (Numerical Recipes, section 6.4).
#[must_use]
pub fn beta_i(a: f64, b: f64, x: f64) -> f64 {
    if a.is_nan() || b.is_nan() || a <= 0.0 || b <= 0.0 || !(0.0..=1.0).contains(&x) {
        return f64::NAN;
    }
    if x == 0.0 || x >= 1.0 {
        return x;
    }
    let front = math::exp(
        ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * math::ln(x) + b * libm::log1p(-x),
    );
    if x < (a + 1.0) / (a + b + 2.0) {
        (front * beta_fraction(a, b, x) / a).clamp(0.0, 1.0)
    } else {
        (1.0 - front * beta_fraction(b, a, 1.0 - x) / b).clamp(0.0, 1.0)
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..STEPS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let factor = d * c;
        fraction *= factor;
        if (factor - 1.0).abs() < PRECISION {
            break;
        }
    }
    fraction
}

fn away_from_zero(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz and Stegun, table 6.1, and the closed forms of small arguments.
    #[test]
    fn digamma_matches_its_table() {
        let euler = 0.577_215_664_901_532_9;
        for (x, value) in [
            (1.0, -euler),
            (2.0, 1.0 - euler),
            (3.0, 1.5 - euler),
            (0.5, -euler - 2.0 * math::ln(2.0)),
            (1.5, 0.036_489_973_978_576_5),
            (100.0, 4.600_161_852_738_087),
        ] {
            assert!((digamma(x) - value).abs() < 1e-12, "{x}: {}", digamma(x));
        }
        assert!(digamma(0.0).is_nan());
    }

    #[test]
    fn gamma_functions_match_closed_forms() {
        for x in [0.1, 1.0, 2.5, 7.0, 30.0] {
            let one = 1.0 - math::exp(-x);
            assert!((gamma_p(1.0, x) - one).abs() < 1e-14, "{x}");
            let three = 1.0 - math::exp(-x) * (1.0 + x + x * x / 2.0);
            assert!((gamma_p(3.0, x) - three).abs() < 1e-13, "{x}");
            let sum = gamma_p(3.0, x) + gamma_q(3.0, x);
            assert!((sum - 1.0).abs() < 1e-14, "{x}");
        }
        // The tail keeps its digits.
        let tail = math::exp(-60.0) * (1.0 + 60.0 + 1800.0);
        assert!((gamma_q(3.0, 60.0) / tail - 1.0).abs() < 1e-12);
        // Large parameters: the median of Gamma(a) is a - 1/3 + 8/(405 a).
        let a = 1e6;
        assert!((gamma_p(a, a - 1.0 / 3.0 + 8.0 / (405.0 * a)) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_beta_function_matches_closed_forms() {
        for x in [0.001, 0.2, 0.5, 0.8, 0.999] {
            assert!((beta_i(1.0, 1.0, x) - x).abs() < 1e-14);
            let arcsine = 2.0 / std::f64::consts::PI * libm::asin(x.sqrt());
            assert!((beta_i(0.5, 0.5, x) - arcsine).abs() < 1e-13, "{x}");
            let sum = beta_i(3.0, 7.0, x) + beta_i(7.0, 3.0, 1.0 - x);
            assert!((sum - 1.0).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn choices_are_counted() {
        assert!((math::exp(ln_choose(52, 5)) / 2_598_960.0 - 1.0).abs() < 1e-12);
        assert!(ln_choose(3, 4).is_infinite());
        assert!(ln_choose(3, 3).abs() < 1e-15);
    }
}
