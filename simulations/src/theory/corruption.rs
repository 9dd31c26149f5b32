//! Paths on which every mix is corrupt.

use crate::stats;

/// Pr(a path is corrupt throughout) when `corrupt` of `mixes` are drawn at random without regard
/// to layers, a path takes one mix of each of `layers` layers, and the draw is part of the
/// probability: the product of (B - i)/(N - i) for i below the layers. It does not depend on the
/// layers' widths.
#[must_use]
pub fn all_corrupt_random(layers: u32, corrupt: u32, mixes: u32) -> f64 {
    if layers > corrupt {
        return 0.0;
    }
    (0..layers)
        .map(|i| (f64::from(corrupt) - f64::from(i)) / (f64::from(mixes) - f64::from(i)))
        .product::<f64>()
        .clamp(0.0, 1.0)
}

/// Pr(a path is corrupt throughout) when the layers have these (corrupt, mixes), for a uniform mix
/// of each. 0 without layers, and where a layer has none.
#[must_use]
pub fn all_corrupt_placed(layers: &[(u32, u32)]) -> f64 {
    if layers.is_empty() || layers.iter().any(|(_, mixes)| *mixes == 0) {
        return 0.0;
    }
    let shares = layers
        .iter()
        .map(|(corrupt, mixes)| f64::from(*corrupt) / f64::from(*mixes));
    shares.product::<f64>().clamp(0.0, 1.0)
}

/// Pr(a path is corrupt throughout) when `corrupt` mixes are spread over `layers` layers of
/// `width` as evenly as they go, the first layers getting one more: the placement that corrupts
/// the most paths, for the product of numbers of a given sum is largest when they are equal.
#[must_use]
pub fn all_corrupt_balanced(layers: u32, corrupt: u32, width: u32) -> f64 {
    if layers == 0 {
        return 0.0;
    }
    let placed: Vec<(u32, u32)> = (0..layers)
        .map(|i| (corrupt / layers + u32::from(i < corrupt % layers), width))
        .collect();
    all_corrupt_placed(&placed)
}

/// When a user first takes a path that is corrupt throughout, for paths that are drawn anew for
/// every packet: geometric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstCorruptPath {
    /// Pr(one path is corrupt throughout), for the placement at hand.
    pub probability: f64,
}

impl FirstCorruptPath {
    /// Mean number of packets up to and with the first; infinite where no path is corrupt.
    #[must_use]
    pub fn mean_packets(&self) -> f64 {
        1.0 / self.probability
    }

    /// Mean time in seconds for a user that sends `rate` packets per second.
    #[must_use]
    pub fn mean_seconds(&self, rate: f64) -> f64 {
        self.mean_packets() / rate
    }

    /// Pr(it happened within so many packets).
    #[must_use]
    pub fn by(&self, packets: u64) -> f64 {
        stats::geometric_cdf(packets, self.probability)
    }

    /// The packets within which it happens with probability p (0 to 1), a whole number; infinite
    /// where no path is corrupt.
    #[must_use]
    pub fn quantile_packets(&self, p: f64) -> f64 {
        if self.probability >= 1.0 || p <= 0.0 {
            return 1.0;
        }
        // Rounding must not add a packet where p is reached exactly.
        let packets = libm::log1p(-p) / libm::log1p(-self.probability);
        (packets * (1.0 - 1e-12)).ceil().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    /// All placements of B corrupt mixes, one by one.
    fn enumerated(widths: &[u32], corrupt: u32) -> f64 {
        let mixes: u32 = widths.iter().sum();
        let (mut sum, mut placements) = (0.0, 0.0);
        for chosen in (0..1_u32 << mixes).filter(|bits| bits.count_ones() == corrupt) {
            let mut first = 0;
            let mut layers = Vec::new();
            for width in widths {
                let mask = ((1 << width) - 1) << first;
                layers.push(((chosen & mask).count_ones(), *width));
                first += width;
            }
            sum += all_corrupt_placed(&layers);
            placements += 1.0;
        }
        sum / placements
    }

    #[test]
    fn random_placement_is_the_mean_over_all_placements() {
        for corrupt in 0..=9 {
            near(
                all_corrupt_random(3, corrupt, 9),
                enumerated(&[3, 3, 3], corrupt),
            );
            near(
                all_corrupt_random(3, corrupt, 9),
                enumerated(&[2, 3, 4], corrupt),
            );
        }
        near(all_corrupt_random(3, 3, 9), 6.0 / 504.0);
    }

    #[test]
    fn balanced_placement_corrupts_the_most_paths() {
        near(all_corrupt_balanced(3, 3, 3), 1.0 / 27.0);
        near(all_corrupt_balanced(3, 4, 3), 2.0 / 27.0);
        near(all_corrupt_balanced(3, 2, 3), 0.0);
        for corrupt in 0..=9 {
            let random = all_corrupt_random(3, corrupt, 9);
            let balanced = all_corrupt_balanced(3, corrupt, 3);
            assert!(balanced >= random || corrupt < 3, "{corrupt}");
        }
        near(all_corrupt_placed(&[(1, 0)]), 0.0);
    }

    #[test]
    fn the_first_corrupt_path_is_geometric() {
        let first = FirstCorruptPath { probability: 0.01 };
        near(first.mean_packets(), 100.0);
        near(first.mean_seconds(2.0), 50.0);
        near(first.by(1), 0.01);
        near(first.by(2), 0.0199);
        near(first.quantile_packets(0.5), 69.0);
        near(first.quantile_packets(0.0199), 2.0);
        let never = FirstCorruptPath { probability: 0.0 };
        assert!(never.mean_packets().is_infinite() && never.quantile_packets(0.5).is_infinite());
        near(never.by(1_000_000), 0.0);
    }
}
