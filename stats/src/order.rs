//! Whether what comes later knows of what came before: in one sequence, and after moments of another.

use shoal_proto::{Span, Time};

use crate::tails::chi_squared_tail;

/// The correlation of the values of a sequence with those so many places later, -1 to 1. `None` if
/// there are no such pairs, or all values are one.
///
/// Source: Box and Jenkins, "Time Series Analysis", section 2.1.5.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
pub fn autocorrelation(sequence: &[f64], lag: usize) -> Option<f64> {
    if sequence.len() <= lag {
        return None;
    }
    let mean = sequence.iter().sum::<f64>() / sequence.len() as f64;
    let later = sequence.iter().skip(lag);
    let products = sequence.iter().zip(later);
    let together: f64 = products.map(|(x, y)| (x - mean) * (y - mean)).sum();
    let alone: f64 = sequence.iter().map(|x| (x - mean) * (x - mean)).sum();
    (alone > 0.0).then(|| together / alone)
}

/// The p-value, 0 to 1, of the difference between the correlations of two sequences with themselves,
/// over the lags from 1 to `lags`, if the values of each are independent: then each correlation
/// varies by one divided by the sequence's length (Bartlett 1946), and the squares add up to a
/// chi-squared variable. `None` if a sequence is no longer than that, or constant.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
pub fn compare_autocorrelations(a: &[f64], b: &[f64], lags: u32) -> Option<f64> {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let mut statistic = 0.0;
    for lag in 1..=lags as usize {
        let off = autocorrelation(a, lag)? - autocorrelation(b, lag)?;
        statistic += off * off * n * m / (n + m);
    }
    Some(chi_squared_tail(statistic, lags))
}

/// Whether instants follow on moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Following {
    /// How much longer than for turned moments the mean wait is, in standard deviations of those;
    /// below 0 if instants come sooner than they would by chance.
    pub deviation: f64,
    /// The probability of a wait so short or so long by chance, 0 to 1: the share of turned moments
    /// with such a one, so at least two divided by one more than the turns.
    pub p_value: f64,
}

/// Whether instants follow on some moments sooner or later than on moments that have nothing to do
/// with them.
///
/// What is compared is the mean wait from a moment to the next instant, with that of the same moments
/// all moved by one of `turns`, around the end. If the instants know nothing of the moments, each of
/// these is as likely, whatever the distributions. A turn should be longer than what follows on a
/// moment takes, and as much shorter than the whole. Instants in order, moments in any; those outside
/// `from..to` are left out. `None` if none of either, or no turn, is left.
///
/// Source: the random shift test, as in Lotwick and Silverman, "Methods for analysing spatial
/// processes of several types of points" (1982).
#[must_use]
pub fn follows(
    instants: &[Time],
    moments: &[Time],
    from: Time,
    to: Time,
    turns: impl IntoIterator<Item = Span>,
) -> Option<Following> {
    let length = to.since(from).as_micros();
    let place = |at: &Time| (from <= *at && *at < to).then(|| at.since(from).as_micros());
    let instants: Vec<u64> = instants.iter().filter_map(place).collect();
    let moments: Vec<u64> = moments.iter().filter_map(place).collect();
    let first = *instants.first().filter(|_| !moments.is_empty())?;
    let waits = |turn: u64| -> u64 {
        let wait = |moment: &u64| {
            let moment = (moment + turn) % length;
            let next = instants.partition_point(|instant| *instant < moment);
            let next = instants.get(next).copied().unwrap_or(length + first);
            next - moment
        };
        moments.iter().map(wait).sum()
    };
    let turned: Vec<u64> = turns
        .into_iter()
        .map(|turn| waits(turn.as_micros()))
        .collect();
    judged(waits(0), &turned)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums of waits lose digits beyond 2^52 microseconds, not their size"
)]
fn judged(seen: u64, turned: &[u64]) -> Option<Following> {
    if turned.is_empty() {
        return None;
    }
    let count = turned.len() as f64;
    let mean = turned.iter().map(|x| *x as f64).sum::<f64>() / count;
    let squares = turned
        .iter()
        .map(|x| (*x as f64 - mean) * (*x as f64 - mean));
    let spread = (squares.sum::<f64>() / count).sqrt();
    let sooner = 1 + turned.iter().filter(|x| **x <= seen).count();
    let later = 1 + turned.iter().filter(|x| **x >= seen).count();
    let off = seen as f64 - mean;
    Some(Following {
        deviation: if spread > 0.0 { off / spread } else { 0.0 },
        p_value: (2.0 * sooner.min(later) as f64 / (count + 1.0)).min(1.0),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha20Rng;

    use super::*;

    #[test]
    fn correlations_of_small_sequences_are_exact() {
        // Deviations -1.5, -0.5, 0.5, 1.5: (0.75 - 0.25 + 0.75) / 5, and (-0.75 - 0.75) / 5.
        let sequence = [1.0, 2.0, 3.0, 4.0];
        assert!((autocorrelation(&sequence, 1).unwrap() - 0.25).abs() < 1e-12);
        assert!((autocorrelation(&sequence, 2).unwrap() + 0.3).abs() < 1e-12);
        assert_eq!(autocorrelation(&sequence, 4), None);
        assert_eq!(autocorrelation(&[2.0, 2.0], 1), None);
    }

    #[test]
    fn values_that_depend_on_the_last_are_found_and_chance_is_not() {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        let mut draw = |n: usize| (0..n).map(|_| rng.random::<f64>()).collect::<Vec<_>>();
        let sticky = |values: &[f64]| -> Vec<f64> {
            values
                .windows(2)
                .map(|pair| pair[0] + 0.3 * pair[1])
                .collect()
        };
        let dependent = sticky(&draw(1000));
        assert!(compare_autocorrelations(&dependent, &draw(1000), 3).unwrap() < 1e-4);
        let rejected = (0..1000)
            .filter(|_| compare_autocorrelations(&draw(300), &draw(200), 3).unwrap() < 0.05)
            .count();
        // Binomial(1000, 0.05): mean 50, standard deviation 6.9; four of them either way.
        assert!((23..=77).contains(&rejected), "{rejected} of 1000");
    }

    /// Times in `0..seconds` at random.
    fn random(rng: &mut ChaCha20Rng, count: usize, seconds: u64) -> Vec<Time> {
        let mut at: Vec<Time> = (0..count)
            .map(|_| Time::from_micros(rng.random_range(0..seconds * 1_000_000)))
            .collect();
        at.sort_unstable();
        at
    }

    #[test]
    fn waits_and_shares_of_few_moments_are_exact() {
        let at = |seconds: u64| Time::from_micros(seconds * 1_000_000);
        let turns = [2, 3, 4].map(Span::from_secs);
        // The wait is 1 s; turned, 9 s around the end, 8 s and 7 s.
        let found = follows(&[at(3)], &[at(2)], at(0), at(10), turns).unwrap();
        assert!((found.p_value - 2.0 / 4.0).abs() < 1e-12);
        assert!((found.deviation - (1.0 - 8.0) / (2.0_f64 / 3.0).sqrt()).abs() < 1e-9);
        assert_eq!(follows(&[], &[at(2)], at(0), at(10), turns), None);
        assert_eq!(follows(&[at(3)], &[at(12)], at(0), at(10), turns), None);
        assert_eq!(follows(&[at(3)], &[at(2)], at(0), at(10), []), None);
    }

    #[test]
    fn what_follows_is_found_and_chance_is_not() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let (from, to) = (Time::from_micros(0), Time::from_micros(100_000_000));
        let mut judge = |instants: &[Time], moments: &[Time]| {
            let turns =
                (0..400).map(|_| Span::from_micros(rng.random_range(1_000_000..99_000_000)));
            follows(instants, moments, from, to, turns).unwrap()
        };
        let mut rng = ChaCha20Rng::seed_from_u64(8);
        let (instants, moments) = (random(&mut rng, 400, 100), random(&mut rng, 50, 100));
        let mut hasty = instants.clone();
        hasty.extend(moments.iter().map(|at| *at + Span::from_millis(2)));
        hasty.sort_unstable();
        let found = judge(&hasty, &moments);
        assert!(found.deviation < -4.0 && found.p_value < 0.006, "{found:?}");
        let rejected = (0..300)
            .filter(|_| {
                let (instants, moments) = (random(&mut rng, 400, 100), random(&mut rng, 50, 100));
                judge(&instants, &moments).deviation.abs() > 1.96
            })
            .count();
        // Binomial(300, 0.05): mean 15, standard deviation 3.8; four of them either way.
        assert!((1..=30).contains(&rejected), "{rejected} of 300");
    }
}
