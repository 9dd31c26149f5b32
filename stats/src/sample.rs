//! What is read off one sample: quantiles, the mean, gaps between instants.

use shoal_proto::Time;

/// The value below or at which a share `q` (0 to 1) of the sample lies: the nearest rank, so
/// always a value of the sample. Values that are not numbers are left out. `None` if there are
/// none.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a rank between 0 and the length of the sample"
)]
pub fn quantile(sample: &[f64], q: f64) -> Option<f64> {
    let sorted = sorted(sample);
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The arithmetic mean; `None` of nothing.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are far smaller than 2^52"
)]
pub fn mean(sample: &[f64]) -> Option<f64> {
    (!sample.is_empty()).then(|| sample.iter().sum::<f64>() / sample.len() as f64)
}

/// The gaps between consecutive instants, in seconds; one fewer than there are instants. A step
/// back in time counts as no gap.
#[must_use]
pub fn intervals(instants: &[Time]) -> Vec<f64> {
    let pairs = instants.iter().zip(instants.iter().skip(1));
    pairs
        .map(|(earlier, later)| later.since(*earlier).as_secs_f64())
        .collect()
}

/// The values that are numbers, in ascending order.
pub(crate) fn sorted(sample: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = sample.iter().copied().filter(|x| !x.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sample = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(quantile(&sample, 0.0), Some(1.0));
        assert_eq!(quantile(&sample, 0.5), Some(3.0));
        assert_eq!(quantile(&sample, 0.99), Some(5.0));
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(mean(&sample), Some(3.0));
    }

    #[test]
    fn intervals_never_go_back() {
        let instants = [3, 5, 4].map(Time::from_micros);
        assert_eq!(intervals(&instants), vec![2e-6, 0.0]);
    }
}
