//! Whether two sets of counts come from one source.

use std::collections::BTreeMap;

use crate::tails::{chi_squared_tail, normal_tail};

/// Expected counts below this are not judged by themselves.
const FEWEST: f64 = 5.0;

/// The p-value, 0 to 1, of two counts of Poisson processes of one rate, each watched for so long (in
/// any unit, above 0): given their sum, one of them is binomial (Przyborowski and Wilenski, 1940).
/// Normal approximation: good from about ten in all. 1 if nothing was counted.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn poisson_two_sample(a: (u64, f64), b: (u64, f64)) -> f64 {
    let ((count_a, long_a), (count_b, long_b)) = (a, b);
    let (count_a, count_b) = (count_a as f64, count_b as f64);
    if count_a + count_b <= 0.0 {
        return 1.0;
    }
    let off = count_a * long_b - count_b * long_a;
    let spread = ((count_a + count_b) * long_a * long_b).sqrt();
    (2.0 * normal_tail((off / spread).abs())).min(1.0)
}

/// The p-value, 0 to 1, of two samples of counts if both come from one distribution: Pearson's
/// chi-squared test of homogeneity over the values, neighbouring ones taken together until of each
/// sample five or more are expected. It sees means, spreads and shapes. 1 if there is nothing to
/// compare.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts beyond 2^52 lose digits, not their size"
)]
pub fn compare_counts(a: &[u64], b: &[u64]) -> f64 {
    let mut cells: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for value in a {
        cells.entry(*value).or_default().0 += 1.0;
    }
    for value in b {
        cells.entry(*value).or_default().1 += 1.0;
    }
    let all = (a.len() + b.len()) as f64;
    let shares = (a.len() as f64 / all, b.len() as f64 / all);
    let groups = grouped(cells.into_values(), FEWEST / shares.0.min(shares.1));
    let statistic: f64 = groups
        .iter()
        .map(|(of_a, of_b)| {
            let (expected_a, expected_b) = ((of_a + of_b) * shares.0, (of_a + of_b) * shares.1);
            (of_a - expected_a) * (of_a - expected_a) / expected_a
                + (of_b - expected_b) * (of_b - expected_b) / expected_b
        })
        .sum();
    match u32::try_from(groups.len()) {
        Ok(groups @ 2..) => chi_squared_tail(statistic, groups - 1),
        _ => 1.0,
    }
}

/// Neighbours taken together until each group has at least so many; what is left joins the last.
fn grouped(cells: impl Iterator<Item = (f64, f64)>, fewest: f64) -> Vec<(f64, f64)> {
    let mut groups: Vec<(f64, f64)> = Vec::new();
    let mut open = (0.0, 0.0);
    for (a, b) in cells {
        open = (open.0 + a, open.1 + b);
        if open.0 + open.1 >= fewest {
            groups.push(std::mem::take(&mut open));
        }
    }
    if let Some(last) = groups.last_mut() {
        *last = (last.0 + open.0, last.1 + open.1);
    }
    groups
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn counts_of_one_rate_are_not_told_apart() {
        // (110 - 90) / sqrt(200) is 1.414, and 0.1573 are beyond it.
        assert!((poisson_two_sample((110, 1.0), (90, 1.0)) - 0.1573).abs() < 1e-4);
        // Watched twice as long, twice as many.
        assert!(poisson_two_sample((200, 20.0), (100, 10.0)) > 0.999);
        assert!(poisson_two_sample((720, 1.0), (1080, 1.0)) < 1e-9);
        assert!((poisson_two_sample((0, 1.0), (0, 1.0)) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_statistic_is_pearsons() {
        // 30 and 20 against 20 and 30: four cells off by 5 of 25, so 4, with one degree.
        let sample = |zeros, ones| [vec![0; zeros], vec![1; ones]].concat();
        let p = compare_counts(&sample(30, 20), &sample(20, 30));
        assert!((p - 0.0455).abs() < 1e-4, "{p}");
        assert!((compare_counts(&[], &[]) - 1.0).abs() < 1e-12);
        assert!((compare_counts(&[1, 2], &[3]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_spread_is_found_and_chance_is_not() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut draw = |n: usize, most: u64| -> Vec<u64> {
            (0..n)
                .map(|_| rng.random_range(10 - most..=10 + most))
                .collect()
        };
        assert!(compare_counts(&draw(500, 4), &draw(500, 6)) < 1e-4);
        let rejected = (0..1000)
            .filter(|_| compare_counts(&draw(300, 4), &draw(200, 4)) < 0.05)
            .count();
        // Binomial(1000, 0.05): mean 50, standard deviation 6.9; four of them either way.
        assert!((23..=77).contains(&rejected), "{rejected} of 1000");
    }
}
