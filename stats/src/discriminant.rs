//! A classifier that is learnt from examples: Fisher's linear discriminant.

use crate::area::Area;

/// What is added to each feature's variance, which is 1, so that features that say the same leave a
/// solution.
const RIDGE: f64 = 1e-3;

/// The direction in the space of features in which two kinds differ most.
#[derive(Clone, Debug, PartialEq)]
pub struct Discriminant {
    weights: Vec<f64>,
}

impl Discriminant {
    /// Learns from examples of two kinds, each a list of features of one length. Features that do not
    /// vary within a kind are left out. `None` with fewer than two examples of a kind, or if their
    /// lengths differ.
    ///
    /// Nothing is better if both kinds are normal with one covariance; what else may matter (squares,
    /// products, counts in classes) has to be a feature. Work and memory grow with the square of the
    /// number of features.
    ///
    /// Source: Fisher, "The use of multiple measurements in taxonomic problems" (1936), regularised as
    /// in Friedman, "Regularized discriminant analysis" (1989).
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "samples are far smaller than 2^52"
    )]
    pub fn learn(positives: &[&[f64]], negatives: &[&[f64]]) -> Option<Self> {
        let width = positives.first()?.len();
        let mut all = positives.iter().chain(negatives);
        if positives.len() < 2 || negatives.len() < 2 || all.any(|example| example.len() != width) {
            return None;
        }
        let centres = [centre(positives, width), centre(negatives, width)];
        let kinds = [(positives, &centres[0]), (negatives, &centres[1])];
        let degrees = (positives.len() + negatives.len() - 2) as f64;
        let mut scales = vec![0.0; width];
        for (examples, centre) in kinds {
            for example in examples {
                let off = example.iter().zip(centre).map(|(x, c)| x - c);
                scales
                    .iter_mut()
                    .zip(off)
                    .for_each(|(s, off)| *s += off * off);
            }
        }
        scales.iter_mut().for_each(|s| *s = (*s / degrees).sqrt());
        let mut correlations = vec![vec![0.0; width]; width];
        for (examples, centre) in kinds {
            for example in examples {
                let off = example.iter().zip(centre).map(|(x, c)| x - c);
                let off: Vec<f64> = off.zip(&scales).map(|(off, s)| over(off, *s)).collect();
                for (row, x) in correlations.iter_mut().zip(&off) {
                    row.iter_mut().zip(&off).for_each(|(sum, y)| *sum += x * y);
                }
            }
        }
        for (place, row) in correlations.iter_mut().enumerate() {
            row.iter_mut().for_each(|sum| *sum /= degrees);
            row[place] += RIDGE;
        }
        let apart = centres[0].iter().zip(&centres[1]).map(|(a, b)| a - b);
        let apart = apart
            .zip(&scales)
            .map(|(apart, s)| over(apart, *s))
            .collect();
        let weights = solve(correlations, apart);
        let weights = weights.iter().zip(&scales).map(|(w, s)| over(*w, *s));
        Some(Self {
            weights: weights.collect(),
        })
    }

    /// How far an example is towards the first kind, to be compared with others.
    #[must_use]
    pub fn score(&self, example: &[f64]) -> f64 {
        example.iter().zip(&self.weights).map(|(x, w)| x * w).sum()
    }
}

/// How well a discriminant tells examples of two kinds apart that it has not learnt from: the examples
/// are dealt into `parts` in turn, each part is judged by what the others teach, and the areas'
/// mean is given. `None` with fewer than two parts, if a part has fewer than two of a kind, or the examples differ in length.
///
/// Source: Stone, "Cross-validatory choice and assessment of statistical predictions" (1974).
#[must_use]
pub fn cross_validated(
    positives: &[Vec<f64>],
    negatives: &[Vec<f64>],
    parts: usize,
) -> Option<Area> {
    let areas: Option<Vec<Area>> = (0..parts)
        .map(|part| {
            let (judged, learnt) = dealt(positives, part, parts);
            let (judged_negatives, learnt_negatives) = dealt(negatives, part, parts);
            let discriminant = Discriminant::learn(&learnt, &learnt_negatives)?;
            let scores = |examples: &[&[f64]]| -> Vec<f64> {
                examples.iter().map(|e| discriminant.score(e)).collect()
            };
            Area::of(&scores(&judged), &scores(&judged_negatives))
        })
        .collect();
    Area::of_parts(&areas?)
}

/// One part of the examples, and the others.
fn dealt(examples: &[Vec<f64>], part: usize, parts: usize) -> (Vec<&[f64]>, Vec<&[f64]>) {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for (place, example) in examples.iter().enumerate() {
        let side = if place % parts == part {
            &mut own
        } else {
            &mut others
        };
        side.push(example.as_slice());
    }
    (own, others)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
fn centre(examples: &[&[f64]], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    for example in examples {
        sums.iter_mut().zip(*example).for_each(|(sum, x)| *sum += x);
    }
    sums.iter_mut()
        .for_each(|sum| *sum /= examples.len() as f64);
    sums
}

/// A quotient, 0 where nothing varies.
fn over(x: f64, scale: f64) -> f64 {
    if scale > 0.0 { x / scale } else { 0.0 }
}

/// The solution of a symmetric, positive definite system, by Cholesky's decomposition (Numerical
/// Recipes, section 2.9). The matrix is square and as wide as the right side is long.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let width = right.len();
    for i in 0..width {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - known;
            matrix[i][j] = if i == j {
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / matrix[j][j]
            };
        }
    }
    for i in 0..width {
        let known: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    for i in (0..width).rev() {
        let known: f64 = (i + 1..width).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn a_system_is_solved() {
        // 4x + 2y = 10 and 2x + 3y = 9.
        let solution = solve(vec![vec![4.0, 2.0], vec![2.0, 3.0]], vec![10.0, 9.0]);
        assert!((solution[0] - 1.5).abs() < 1e-12 && (solution[1] - 2.0).abs() < 1e-12);
    }

    /// By hand: both kinds vary alike and without correlation, 3 apart in the first feature and 1 in
    /// the second, whose variances are 4/3 and 1/3. So the weights are as 9/4 to 3.
    #[test]
    fn the_direction_is_fishers() {
        let around = |x: f64, y: f64| -> Vec<[f64; 2]> {
            let corners = [(-1.0, -0.5), (-1.0, 0.5), (1.0, -0.5), (1.0, 0.5)];
            corners.map(|(dx, dy)| [x + dx, y + dy]).to_vec()
        };
        let (a, b) = (around(3.0, 1.0), around(0.0, 0.0));
        let [a, b] = [&a, &b].map(|kind| kind.iter().map(<[f64; 2]>::as_slice).collect::<Vec<_>>());
        let found = Discriminant::learn(&a, &b).unwrap();
        let along = |x, y| found.score(&[x, y]);
        assert!((along(1.0, 0.0) / along(0.0, 1.0) - 0.75).abs() < 1e-9);
        assert_eq!(Discriminant::learn(&a[..1], &b), None);
        assert_eq!(Discriminant::learn(&a, &[&[1.0], &[2.0]]), None);
    }

    fn draw(rng: &mut ChaCha20Rng, count: usize, by: f64) -> Vec<Vec<f64>> {
        let example = |_| {
            let mut features: Vec<f64> = (0..10).map(|_| rng.random()).collect();
            features[3] += by;
            features.push(1.0);
            features
        };
        (0..count).map(example).collect()
    }

    #[test]
    fn what_was_not_learnt_from_is_told_apart_and_chance_is_not() {
        let mut rng = ChaCha20Rng::seed_from_u64(9);
        let (a, b) = (draw(&mut rng, 300, 0.3), draw(&mut rng, 200, 0.0));
        // Uniform values apart by 0.3: 1 - 0.7^2 / 2 = 0.755.
        let area = cross_validated(&a, &b, 5).unwrap();
        assert!(area.low < 0.755 && 0.68 < area.low, "{area:?}");
        let outside = (0..200)
            .filter(|_| {
                let (a, b) = (draw(&mut rng, 200, 0.0), draw(&mut rng, 200, 0.0));
                let area = cross_validated(&a, &b, 5).unwrap();
                !(area.low < 0.5 && 0.5 < area.high)
            })
            .count();
        // Binomial(200, 0.05): mean 10, standard deviation 3.1; four of them up.
        assert!(outside <= 22, "{outside} of 200");
        assert_eq!(cross_validated(&a[..5], &b, 5), None);
    }
}
