//! Histograms with a relative resolution of 1/1024.

/// Bits of the mantissa that tell buckets apart: each is 1/1024 of its octave wide or less.
const MANTISSA: u32 = 10;
/// Values below 2^-20 (about a microsecond in seconds) are one bucket.
const LEAST_EXPONENT: u64 = 1023 - 20;
/// Values of 2^20 or more (twelve days) are one bucket.
const OCTAVES: u64 = 40;

/// Counts of values of 0 or more, log-linear: a quantile is off by at most 0.1% for values from
/// 1e-6 to 1e6. Mean and count are exact. At most 330 kB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
    squares: f64,
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: f64) {
        let bucket = bucket(value);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    /// How many values.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; `None` without any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// Their variance (over n); `None` without any.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        Some((self.squares / self.count as f64 - mean * mean).max(0.0))
    }

    /// The `q`-quantile, for `q` from 0 to 1; `None` without any values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|n| {
            seen += n;
            seen >= rank
        })?;
        Some((lower(found) + lower(found + 1)) / 2.0)
    }

    /// The buckets that hold anything: least value, first value above it, count.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let all = self.buckets.iter().enumerate();
        all.filter(|(_, n)| **n > 0)
            .map(|(i, n)| (lower(i), lower(i + 1), *n))
    }

    /// Adds another one's counts.
    pub fn merge(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
    }
}

fn bucket(value: f64) -> usize {
    let top = value.max(0.0).to_bits() >> (52 - MANTISSA);
    let most = OCTAVES << MANTISSA;
    top.saturating_sub(LEAST_EXPONENT << MANTISSA).min(most) as usize
}

fn lower(bucket: usize) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    f64::from_bits((bucket as u64 + (LEAST_EXPONENT << MANTISSA)) << (52 - MANTISSA))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut histogram = Histogram::default();
        let mut values: Vec<f64> = (1..=10_000).map(|i| f64::from(i) * 0.001_37).collect();
        values.iter().for_each(|v| histogram.add(*v));
        values.sort_by(f64::total_cmp);
        for q in [0.001, 0.1, 0.5, 0.95, 0.999, 1.0] {
            let exact = values[((q * 10_000.0) as usize).saturating_sub(1)];
            let found = histogram.quantile(q).unwrap();
            assert!((found / exact - 1.0).abs() < 0.001, "{q}: {found} {exact}");
        }
        assert!((histogram.mean().unwrap() - 6.850_685).abs() < 1e-9);
    }

    #[test]
    fn what_is_out_of_range_is_counted_at_the_end() {
        let mut histogram = Histogram::default();
        for value in [0.0, 1e-30, 1e300, f64::INFINITY] {
            histogram.add(value);
        }
        assert_eq!(histogram.buckets().map(|b| b.2).collect::<Vec<_>>(), [2, 2]);
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!(twice.count(), 8);
    }
}
