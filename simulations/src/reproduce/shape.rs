//! Whether a curve has the shape of a published one of which only the picture exists.
//!
//! Three numbers, each with a standard error over repetitions:
//! - the correlation of ln epsilon with the parameter (or its logarithm): near 1 where epsilon
//!   grows throughout;
//! - the share of a doubling that the ends are apart: a flat curve has none, however its noise
//!   happens to lie;
//! - the steps from one point to the next that go the wrong way by more than three standard errors
//!   of the difference.

use super::point::{Point, mean_and_error};
use crate::math;

/// A curve: of each value of the parameter one value for each repetition, `None` where there was
/// nothing to average. Repetition `i` of one point and of another have their traffic in common.
pub(super) struct Curve {
    /// The parameter as it goes into the correlation.
    pub x: Vec<f64>,
    /// By point, then by repetition.
    pub y: Vec<Vec<Option<f64>>>,
    /// Whether the curve should grow with x, or fall.
    pub grows: bool,
}

/// How far a correlation may be from 1, and the ends from a doubling.
const TOLERANCE: f64 = 0.1;

impl Curve {
    /// The gated points of this curve; `what` as in "epsilon grows with mu".
    pub(super) fn gates(&self, what: &str) -> Vec<Point> {
        let correlation = self.jackknifed(|means| self.correlation(means));
        let doubling = self.jackknifed(|means| self.doubling(means));
        let wrong = self.wrong_steps();
        vec![
            judged(format!("{what}: correlation"), correlation).gate(1.0, TOLERANCE),
            judged(format!("{what}: share of a doubling"), doubling).gate(1.0, TOLERANCE),
            judged(format!("{what}: steps the wrong way"), (wrong, Some(0.0))).gate(0.0, 0.5),
        ]
    }

    fn sign(&self) -> f64 {
        if self.grows { 1.0 } else { -1.0 }
    }

    /// Pearson's correlation of x with ln y, positive in the expected direction.
    fn correlation(&self, means: &[f64]) -> Option<f64> {
        let logs: Vec<f64> = means.iter().map(|mean| math::ln(*mean)).collect();
        let (mx, my) = (crate::stats::mean(&self.x)?, crate::stats::mean(&logs)?);
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in self.x.iter().zip(&logs) {
            xy += (x - mx) * (y - my);
            xx += (x - mx) * (x - mx);
            yy += (y - my) * (y - my);
        }
        let product = (xx * yy).sqrt();
        let correlation = if product > 0.0 { xy / product } else { 0.0 };
        correlation.is_finite().then_some(self.sign() * correlation)
    }

    /// ln of the ratio of the ends over ln 2, in the expected direction, at most 1.
    fn doubling(&self, means: &[f64]) -> Option<f64> {
        let ratio = math::ln(means.last()? / means.first()?);
        let share = self.sign() * ratio / std::f64::consts::LN_2;
        share.is_finite().then_some(share.min(1.0))
    }

    /// Steps against the expected direction by more than three standard errors of the difference,
    /// repetition by repetition.
    fn wrong_steps(&self) -> Option<f64> {
        let pairs = self.y.iter().zip(self.y.iter().skip(1));
        let mut wrong = 0.0;
        for (before, after) in pairs {
            let both = before.iter().zip(after);
            let steps: Vec<f64> = both
                .filter_map(|(before, after)| {
                    Some(self.sign() * (after.as_ref()? - before.as_ref()?))
                })
                .collect();
            let (mean, error) = mean_and_error(&steps);
            if mean? < -3.0 * error? {
                wrong += 1.0;
            }
        }
        Some(wrong)
    }

    /// A function of the points' means, with its standard error by the jackknife: each repetition
    /// is left out once, of all points.
    #[expect(clippy::cast_precision_loss, reason = "repetitions are few")]
    fn jackknifed(&self, function: impl Fn(&[f64]) -> Option<f64>) -> (Option<f64>, Option<f64>) {
        let whole = self.means(None).and_then(|means| function(&means));
        let repetitions = self.y.iter().map(Vec::len).max().unwrap_or(0);
        let parts: Option<Vec<f64>> = (0..repetitions)
            .map(|left_out| function(&self.means(Some(left_out))?))
            .collect();
        let error = parts.filter(|parts| parts.len() > 1).and_then(|parts| {
            let n = parts.len() as f64;
            let mean = crate::stats::mean(&parts)?;
            let squares: f64 = parts.iter().map(|part| (part - mean) * (part - mean)).sum();
            Some((squares * (n - 1.0) / n).sqrt())
        });
        (whole, error)
    }

    fn means(&self, left_out: Option<usize>) -> Option<Vec<f64>> {
        let mean = |values: &Vec<Option<f64>>| {
            let kept = values.iter().enumerate();
            let kept = kept.filter(|(index, _)| Some(*index) != left_out);
            let sample: Vec<f64> = kept.filter_map(|(_, value)| *value).collect();
            crate::stats::mean(&sample)
        };
        self.y.iter().map(mean).collect()
    }
}

fn judged(name: String, (ours, standard_error): (Option<f64>, Option<f64>)) -> Point {
    Point {
        ours,
        standard_error,
        ..Point::shown(name, "1", &[])
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::reproduce::{Effort, Verdict};
    use crate::seed;

    /// Values with the mean that a function of x gives, and a spread of about their own size.
    fn curve(mean: impl Fn(f64) -> f64, grows: bool) -> Curve {
        let x: Vec<f64> = [0.2, 0.5, 1.0, 1.5, 2.0].map(math::ln).to_vec();
        let mut rng = seed::generator(3, 0, "shape", 0);
        let common: Vec<f64> = (0..100).map(|_| rng.random::<f64>() + 0.5).collect();
        let mut one = |x: f64| {
            let noisy = common
                .iter()
                .map(|c| mean(x) * c * (rng.random::<f64>() + 0.5));
            noisy.map(Some).collect::<Vec<_>>()
        };
        let y = x.iter().map(|x| one(math::exp(*x))).collect();
        Curve { x, y, grows }
    }

    fn holds(curve: &Curve) -> bool {
        let gates = curve.gates("g");
        gates
            .iter()
            .all(|g| g.verdict(Effort::Full) == Verdict::Holds)
    }

    #[test]
    fn a_curve_that_goes_its_way_holds() {
        assert!(holds(&curve(|x| 0.19 * x, true)));
        assert!(holds(&curve(|x| 0.19 / x, false)));
    }

    #[test]
    fn a_flat_a_turned_and_a_bent_curve_fail() {
        assert!(!holds(&curve(|_| 0.19, true)));
        assert!(!holds(&curve(|x| 0.19 / x, true)));
        assert!(!holds(&curve(|x| 0.19 * x, false)));
        assert!(!holds(&curve(
            |x| 0.19 * (if x > 1.2 { 0.3 } else { x }),
            true
        )));
    }

    #[test]
    fn each_wrong_step_is_counted() {
        let bent = curve(|x| if (0.9..1.1).contains(&x) { 0.05 } else { x }, true);
        assert_eq!(bent.wrong_steps(), Some(1.0));
        assert_eq!(curve(|x| 1.0 / x, true).wrong_steps(), Some(4.0));
    }

    #[test]
    fn points_without_values_fail() {
        let mut empty = curve(|x| x, true);
        empty.y[2] = vec![None; 100];
        assert!(!holds(&empty));
        assert!(!holds(&Curve {
            x: vec![],
            y: vec![],
            grows: true
        }));
    }
}
