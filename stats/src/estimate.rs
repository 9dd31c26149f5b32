//! Means of independent repetitions with their confidence intervals.

use serde::{Deserialize, Deserializer, Serialize};

use crate::distribution::invert;
use crate::special::beta_i;

/// The confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// A mean of independent repetitions with its 95% confidence interval, by Student's t. The values
/// must be one per repetition: targets inside one run are correlated, and an interval from them
/// would be ten times too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean, in the unit of the values.
    pub mean: f64,
    /// The standard deviation of the mean; infinite for one repetition (null in JSON).
    #[serde(deserialize_with = "null_is_infinite")]
    pub standard_error: f64,
    /// The interval's lower end; minus infinity for one repetition (null in JSON).
    #[serde(deserialize_with = "null_is_minus_infinite")]
    pub low: f64,
    /// The interval's upper end; infinite for one repetition (null in JSON).
    #[serde(deserialize_with = "null_is_infinite")]
    pub high: f64,
    /// How many repetitions.
    pub n: u32,
}

impl Estimate {
    /// From one value of each repetition, in their order. `None` of nothing, and if a value is
    /// not finite.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = u32::try_from(values.len()).ok().filter(|n| *n > 0)?;
        if values.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let count = f64::from(n);
        let mean = values.iter().sum::<f64>() / count;
        if n == 1 {
            return Some(Self {
                mean,
                standard_error: f64::INFINITY,
                low: f64::NEG_INFINITY,
                high: f64::INFINITY,
                n,
            });
        }
        let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
        let standard_error = (squares / (count - 1.0) / count).sqrt();
        let half = student_t_quantile(0.5 + CONFIDENCE / 2.0, n - 1) * standard_error;
        Some(Self {
            mean,
            standard_error,
            low: mean - half,
            high: mean + half,
            n,
        })
    }

    /// Whether the interval holds this value.
    #[must_use]
    pub fn covers(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Whether the two intervals have a value in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// The t that a Student variable with so many degrees of freedom does not exceed with probability
/// p, by the incomplete beta function (Abramowitz and Stegun 26.5.27) and bisection. Infinite at 0
/// and 1; not a number for other p outside 0 to 1, and without degrees of freedom.
#[must_use]
pub fn student_t_quantile(p: f64, degrees: u32) -> f64 {
    if !(0.0..=1.0).contains(&p) || degrees == 0 {
        return f64::NAN;
    }
    if p < 0.5 {
        return -student_t_quantile(1.0 - p, degrees);
    }
    let degrees = f64::from(degrees);
    invert(2.0 * p - 1.0, |t| {
        let square = t * t;
        beta_i(0.5, degrees / 2.0, square / (degrees + square))
    })
}

fn null_is_infinite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

fn null_is_minus_infinite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NEG_INFINITY))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2, three decimals.
    #[test]
    fn student_quantiles_match_the_published_table() {
        for (degrees, p, value) in [
            (1, 0.975, 12.706),
            (2, 0.975, 4.303),
            (3, 0.975, 3.182),
            (4, 0.975, 2.776),
            (9, 0.975, 2.262),
            (19, 0.975, 2.093),
            (29, 0.975, 2.045),
            (99, 0.975, 1.984),
            (100, 0.999, 3.174),
            (5, 0.95, 2.015),
            (5, 0.999, 5.894),
            (1, 0.999, 318.309),
            (10, 0.90, 1.372),
            (1_000_000, 0.975, 1.960),
        ] {
            let ours = student_t_quantile(p, degrees);
            assert!((ours - value).abs() < 0.0006, "{degrees} {p}: {ours}");
            let mirrored = student_t_quantile(1.0 - p, degrees);
            assert!((mirrored + ours).abs() < 1e-9 * ours, "{degrees} {p}");
        }
        assert!(student_t_quantile(0.5, 3).abs() < 1e-12);
        assert!(student_t_quantile(1.0, 3).is_infinite());
        assert!(student_t_quantile(0.9, 0).is_nan());
    }

    #[test]
    fn an_estimate_is_student_s() {
        let e = Estimate::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        let error = (5.0_f64 / 3.0 / 4.0).sqrt();
        assert!((e.mean - 2.5).abs() < 1e-12 && (e.standard_error - error).abs() < 1e-12);
        assert!((e.high - 2.5 - 3.182_446 * error).abs() < 1e-5);
        assert!(e.covers(2.5) && !e.covers(5.0));
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn one_repetition_excludes_nothing_and_survives_json() {
        let e = Estimate::of(&[7.0]).unwrap();
        assert!(e.covers(-1e9) && e.covers(1e9));
        let text = serde_json::to_string(&e).unwrap();
        assert!(text.contains("\"standard_error\":null"), "{text}");
        assert_eq!(serde_json::from_str::<Estimate>(&text).unwrap(), e);
    }

    #[test]
    fn intervals_cover_the_mean_as_often_as_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let covered = (0..2000)
            .filter(|_| {
                let sum = |_| (0..12).map(|_| rng.random::<f64>()).sum::<f64>();
                let values: Vec<f64> = (0..5).map(sum).collect();
                Estimate::of(&values).unwrap().covers(6.0)
            })
            .count();
        // Binomial(2000, 0.95): mean 1900, standard deviation 9.7; four of them either way.
        assert!((1861..=1939).contains(&covered), "{covered} of 2000");
    }
}
