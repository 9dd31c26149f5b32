//! A histogram of how late packets leave the pool.

use shoal_proto::{Metric, MetricKind, Span};

/// How much later than at its moment each packet left the pool: a histogram with fixed bounds, so
/// that operators see a mix turn into a queue before its users do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Excess {
    counts: [u64; Self::BUCKETS],
    sum: Span,
}

impl Excess {
    /// How it is exported.
    pub const METRIC: Metric = Metric {
        name: "shoal_mix_delay_excess_seconds",
        kind: MetricKind::Histogram,
        unit: "seconds",
        label: None,
        values: &[],
        help: "How much later than at its moment each received packet left the pool.",
        advice: "If it grows, the mix turns into a queue: the machine or its disk is too slow for \
            its traffic.",
    };

    /// Upper bounds of the buckets, inclusive, in milliseconds. One more bucket has no bound.
    pub const BOUNDS_MS: [u64; 13] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000,
    ];
    const BUCKETS: usize = Self::BOUNDS_MS.len() + 1;

    /// Packets whose excess is at most the bound of the same index and above the one before, and
    /// at last those above all bounds.
    #[must_use]
    pub const fn counts(&self) -> &[u64; Self::BUCKETS] {
        &self.counts
    }

    /// Packets in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all excesses.
    #[must_use]
    pub const fn sum(&self) -> Span {
        self.sum
    }

    pub(crate) fn record(&mut self, excess: Span) {
        let index = Self::BOUNDS_MS.partition_point(|bound| Span::from_millis(*bound) < excess);
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum + excess;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let mut excess = Excess::default();
        for micros in [0, 1_000, 1_001, 2_000, 10_000_001] {
            excess.record(Span::from_micros(micros));
        }
        assert_eq!(excess.counts()[..3], [2, 2, 0]);
        assert_eq!(excess.counts()[13], 1);
        assert_eq!(excess.count(), 5);
        assert_eq!(excess.sum(), Span::from_micros(10_004_002));
    }
}
