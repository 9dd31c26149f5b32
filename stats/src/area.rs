//! How well a score tells two kinds apart, with an interval.

use crate::estimate::CONFIDENCE;
use crate::sample::sorted;
use crate::tails::{normal_quantile, normal_tail};

/// The area under the receiver operating characteristic of a score, with its 95% interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The probability that one of the first kind scores higher than one of the second, a tie counted
    /// half. 0 to 1; 0.5 is guessing.
    pub area: f64,
    /// Its standard deviation.
    pub standard_error: f64,
    /// The interval's lower end; may be below 0.
    pub low: f64,
    /// The interval's upper end; may be above 1.
    pub high: f64,
}

impl Area {
    /// From the scores of each kind, which must be independent of each other. Values that are not
    /// numbers are left out. `None` with fewer than two of a kind.
    ///
    /// The error is that of DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more
    /// correlated receiver operating characteristic curves" (1988), for one curve. Of scores that
    /// separate the kinds wholly it is 0.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "samples are far smaller than 2^52"
    )]
    pub fn of(positives: &[f64], negatives: &[f64]) -> Option<Self> {
        let (positives, negatives) = (sorted(positives), sorted(negatives));
        if positives.len() < 2 || negatives.len() < 2 {
            return None;
        }
        let beats: Vec<f64> = positives.iter().map(|x| below(&negatives, *x)).collect();
        let beaten: Vec<f64> = negatives
            .iter()
            .map(|x| 1.0 - below(&positives, *x))
            .collect();
        let (area, of_positives) = moments(&beats);
        let (_, of_negatives) = moments(&beaten);
        let variance =
            of_positives / positives.len() as f64 + of_negatives / negatives.len() as f64;
        Some(Self::with(area, variance))
    }

    /// The mean of the areas of the parts of some data, each judged by what was learnt from the
    /// others. `None` with fewer than two parts.
    ///
    /// Parts that share what they are judged by are not independent: with k of them the variance is
    /// that of one, times 1/k + 1/(k - 1) (Nadeau and Bengio, "Inference for the generalization error",
    /// 2003, for parts of one size).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 parts")]
    pub fn of_parts(parts: &[Self]) -> Option<Self> {
        if parts.len() < 2 {
            return None;
        }
        let count = parts.len() as f64;
        let area = parts.iter().map(|part| part.area).sum::<f64>() / count;
        let squares = parts.iter().map(|p| p.standard_error * p.standard_error);
        let of_one = squares.sum::<f64>() / count;
        Some(Self::with(
            area,
            of_one * (1.0 / count + 1.0 / (count - 1.0)),
        ))
    }

    /// The probability that guessing seems to tell the kinds apart at least so well, 0 to 1.
    #[must_use]
    pub fn p_value(&self) -> f64 {
        let above = self.area - 0.5;
        if self.standard_error > 0.0 {
            normal_tail(above / self.standard_error)
        } else {
            f64::from(u8::from(above <= 0.0))
        }
    }

    fn with(area: f64, variance: f64) -> Self {
        let standard_error = variance.max(0.0).sqrt();
        let half = normal_quantile(0.5 + CONFIDENCE / 2.0) * standard_error;
        Self {
            area,
            standard_error,
            low: area - half,
            high: area + half,
        }
    }
}

/// The share of a sorted sample that is below a value, ties counted half.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
fn below(sorted: &[f64], value: f64) -> f64 {
    let lower = sorted.partition_point(|x| *x < value);
    let upper = sorted.partition_point(|x| *x <= value);
    (lower + upper) as f64 / 2.0 / sorted.len() as f64
}

/// The mean and the variance of a sample of two or more.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
fn moments(sample: &[f64]) -> (f64, f64) {
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let squares: f64 = sample.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, squares / (count - 1.0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn area_and_error_of_small_samples_are_exact() {
        // Pairs: 3>2, 3>1, 2=2, 2>1, so (1 + 1 + 0.5 + 1) / 4. The shares of each positive, 1 and
        // 0.75, and of each negative, 0.75 and 1, vary by 1/32 each: (1/32 + 1/32) / 2.
        let area = Area::of(&[3.0, 2.0], &[2.0, 1.0]).unwrap();
        assert!((area.area - 0.875).abs() < 1e-12);
        assert!((area.standard_error - (1.0_f64 / 32.0).sqrt()).abs() < 1e-12);
        let whole = Area::of(&[3.0, 4.0], &[1.0, 2.0]).unwrap();
        assert!((whole.area - 1.0).abs() < 1e-12 && whole.p_value() < 1e-12);
        assert_eq!(Area::of(&[1.0], &[1.0, 2.0]), None);
        // Of two parts, each teaches the other: no better than one.
        let two = Area::of_parts(&[area, area]).unwrap();
        assert!((two.standard_error - (1.5_f64 / 32.0).sqrt()).abs() < 1e-12);
        assert_eq!(Area::of_parts(&[area]), None);
    }

    #[test]
    fn the_area_is_that_of_the_curve() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let mut draw = |n: usize, by: f64| -> Vec<f64> {
            (0..n).map(|_| (by + rng.random::<f64>()).round()).collect()
        };
        let (a, b) = (draw(50, 0.3), draw(40, 0.0));
        let mark = |scores: &[f64], truth| scores.iter().map(move |x| (*x, truth)).collect();
        let scores: [Vec<(f64, bool)>; 2] = [mark(&a, true), mark(&b, false)];
        let curve = crate::roc::roc(&scores.concat()).unwrap();
        assert!((curve.area - Area::of(&a, &b).unwrap().area).abs() < 1e-12);
    }

    #[test]
    fn intervals_hold_the_area_as_often_as_they_say() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        // Uniform values apart by 0.2: the area is 1 - 0.8^2 / 2.
        let held = (0..1000)
            .filter(|_| {
                let a: Vec<f64> = (0..80).map(|_| 0.2 + rng.random::<f64>()).collect();
                let b: Vec<f64> = (0..120).map(|_| rng.random::<f64>()).collect();
                let area = Area::of(&a, &b).unwrap();
                area.low < 0.68 && 0.68 < area.high
            })
            .count();
        // Binomial(1000, 0.95): mean 950, standard deviation 6.9; four of them either way.
        assert!((922..=978).contains(&held), "{held} of 1000");
    }
}
