//! Several layers of mixes.

use std::f64::consts::{E, LN_2};

use crate::{
    math,
    measure::Claim,
    stats::{digamma, ln_gamma},
};

/// A stratified network whose packets take one uniform mix of each layer, with exponential delays,
/// constant links and nobody corrupt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stratified {
    /// Packets per second through the whole network.
    pub total_rate: f64,
    /// Mean delay of a hop, in seconds.
    pub mean_delay: f64,
    /// Layers, at least 1.
    pub layers: u32,
    /// Mixes of a layer, at least 1.
    pub width: u32,
}

/// The widest layer for which the approximation was checked.
const WIDEST: u32 = 10;

impl Stratified {
    /// Mean number of packets in one mix.
    #[must_use]
    pub fn occupancy(&self) -> f64 {
        self.total_rate * self.mean_delay / f64::from(self.width.max(1))
    }

    /// Mean entropy of a packet, in bits, for a global passive adversary and large pools: `None`
    /// outside the range in which this holds. That range is layers of at most 10 mixes that hold at
    /// least 130 packets each on average (400 for two layers); one layer is exact in the limit of
    /// large pools, and asked to hold as many as three layers.
    ///
    /// A packet is as likely the target as the density of its delay says, whichever way it took:
    /// log2(rate) plus the differential entropy of the Erlang delay. One layer keeps the mixes
    /// apart, so that only its own mix's rate counts.
    #[must_use]
    pub fn entropy(&self) -> Option<f64> {
        self.holds().then(|| self.extrapolated_entropy())
    }

    /// [`entropy`](Self::entropy) without regard to its range: to compare networks before they are
    /// simulated, and for nothing else. In sparse networks it is too large, by 0.3 bit at 13
    /// packets per mix.
    #[must_use]
    pub fn extrapolated_entropy(&self) -> f64 {
        let layers = f64::from(self.layers);
        if self.layers <= 1 {
            return math::log2(self.occupancy() * E);
        }
        math::log2(self.total_rate) + erlang_entropy(layers, self.mean_delay)
    }

    /// What may be claimed of [`entropy`](Self::entropy).
    #[must_use]
    pub fn claim(&self) -> Claim {
        if self.holds() {
            Claim::Approximation("large-pool stratified entropy".to_owned())
        } else {
            Claim::Unsound(format!(
                "the large-pool formula holds for layers of at most {WIDEST} mixes with at least \
                 {} packets each; here are {} mixes with {:.1}",
                self.least_occupancy(),
                self.width,
                self.occupancy()
            ))
        }
    }

    fn holds(&self) -> bool {
        self.layers >= 1
            && (1..=WIDEST).contains(&self.width)
            && self.total_rate.is_finite()
            && self.mean_delay.is_finite()
            && self.occupancy() >= self.least_occupancy()
    }

    fn least_occupancy(&self) -> f64 {
        if self.layers == 2 { 400.0 } else { 130.0 }
    }
}

/// Differential entropy of the sum of `shape` exponential delays of this mean in seconds, in bits.
fn erlang_entropy(shape: f64, mean: f64) -> f64 {
    (shape + math::ln(mean) + ln_gamma(shape) + (1.0 - shape) * digamma(shape)) / LN_2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::stats::erlang_pdf;

    fn mixim(layers: u32, end_to_end: f64) -> Stratified {
        let hops = f64::from(layers);
        Stratified {
            total_rate: 5000.0,
            mean_delay: (end_to_end - 0.05 * (hops + 1.0)) / hops,
            layers,
            width: 10,
        }
    }

    /// MiXiM, figure 7, for 5 s end to end and no corrupt mix.
    #[test]
    fn it_is_near_the_published_figure() {
        for (layers, published) in [(1, 12.689), (2, 15.833), (3, 15.625)] {
            let ours = mixim(layers, 5.0).entropy().unwrap();
            assert!((ours - published).abs() < 0.04, "{layers}: {ours}");
        }
        // Nineteen layers leave 105 packets in a mix: out of range, though not far off.
        let sparse = mixim(19, 5.0);
        assert_eq!(sparse.entropy(), None);
        assert!((sparse.extrapolated_entropy() - 14.184).abs() < 0.1);
        assert!(matches!(sparse.claim(), Claim::Unsound(_)));
    }

    #[test]
    fn outside_its_range_it_says_nothing() {
        let dense = mixim(3, 5.0);
        assert!(matches!(dense.claim(), Claim::Approximation(_)));
        assert_eq!(Stratified { width: 11, ..dense }.entropy(), None);
        let rate = 10.0 * 129.0 / dense.mean_delay;
        let thin = Stratified {
            total_rate: rate,
            ..dense
        };
        assert_eq!(thin.entropy(), None);
        let two = Stratified { layers: 2, ..dense };
        let thin = Stratified {
            total_rate: 10.0 * 399.0 / two.mean_delay,
            ..two
        };
        assert_eq!(thin.entropy(), None);
    }

    /// The differential entropy is the integral of -f log2 f.
    #[test]
    fn the_closed_form_is_the_integral() {
        for shape in [2.0, 3.0, 7.0] {
            let mean = 0.3;
            let step = 1e-4;
            let sum: f64 = (1..200_000_u32)
                .map(|i| erlang_pdf(f64::from(i) * step, shape, mean))
                .filter(|f| *f > 0.0)
                .map(|f| -f * math::log2(f) * step)
                .sum();
            assert!((sum - erlang_entropy(shape, mean)).abs() < 1e-4, "{shape}");
        }
    }
}
