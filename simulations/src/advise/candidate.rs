//! A network that may be proposed, and what closed forms say of it.

use serde::Serialize;

use shoal_topology::{Latency, Profile};

use super::{Request, latency, rates::three_digits};
use crate::theory::{self, UserAnonymity};

/// A network that may be proposed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Layers of mixes.
    pub layers: u32,
    /// Mixes of a layer.
    pub width: u32,
    /// Mean delay of a hop (1/mu), in seconds.
    pub mean_delay: f64,
    /// A client's rates.
    pub rates: Profile,
    /// Corrupt mixes: the share that was asked about, rounded up.
    pub corrupt: u32,
    /// The larger of two probabilities that a path is corrupt throughout: with the corrupt mixes
    /// spread evenly, and with each mix corrupt on its own.
    pub corrupt_path: f64,
    /// The latency that was bounded, 99% point, in seconds: closed form.
    pub p99: f64,
    /// Its median.
    pub p50: f64,
    /// The objective by closed form, in bits: an approximation, for screening only.
    pub screened_bits: f64,
}

/// The range of mean delays that networks take, in seconds.
pub(super) const DELAYS: (f64, f64) = (0.001, 10.0);

impl Candidate {
    /// With the longest delay that keeps the request's latency; `None` if none does.
    pub(super) fn slowest(
        request: &Request,
        layers: u32,
        width: u32,
        rates: Profile,
    ) -> Option<Self> {
        let mean_delay = longest_delay(request, layers, rates)?;
        Self::with_delay(request, layers, width, rates, mean_delay)
    }

    /// With this delay; `None` if a queue would grow without bound.
    pub(super) fn with_delay(
        request: &Request,
        layers: u32,
        width: u32,
        rates: Profile,
        mean_delay: f64,
    ) -> Option<Self> {
        let latency = latency(request, &rates, layers, mean_delay)?;
        let corrupt = corrupt_mixes(request.corrupt, layers * width);
        let mut candidate = Self {
            layers,
            width,
            mean_delay,
            rates,
            corrupt,
            corrupt_path: corrupt_path(request.corrupt, layers, width),
            p99: latency.quantile(0.99),
            p50: latency.quantile(0.5),
            screened_bits: 0.0,
        };
        candidate.screened_bits = candidate.closed_form(request.online());
        Some(candidate)
    }

    /// The same network in layers of another width.
    pub(super) fn widened(&self, request: &Request, width: u32) -> Self {
        let mut wider = Self {
            width,
            corrupt: corrupt_mixes(request.corrupt, self.layers * width),
            corrupt_path: corrupt_path(request.corrupt, self.layers, width),
            ..self.clone()
        };
        wider.screened_bits = wider.closed_form(request.online());
        wider
    }

    /// The same network for a share (0 to 1) of the users: as many packets in each mix, so fewer
    /// mixes, but as many layers.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most the width"
    )]
    pub(super) fn scaled(&self, request: &Request, share: f64) -> Self {
        let width = ((f64::from(self.width) * share).round() as u32).max(request.min_width);
        let width = width.min(self.width);
        Self {
            width,
            corrupt: corrupt_mixes(request.corrupt, self.layers * width),
            ..self.clone()
        }
    }

    /// All mixes.
    #[must_use]
    pub fn mixes(&self) -> u32 {
        self.layers * self.width
    }

    /// The objective for so many users online, by closed form ([`UserAnonymity`]), in bits.
    #[must_use]
    pub fn closed_form(&self, online: f64) -> f64 {
        let model = UserAnonymity {
            users: online,
            rate: self.rates.uplink(),
            mean_delay: self.mean_delay,
            layers: self.layers,
            width: self.width,
            corrupt: f64::from(self.corrupt) / f64::from(self.mixes().max(1)),
        };
        model.min_entropy_quantile(0.05)
    }

    /// In a few words.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{} x {} mixes, mean delay {} s, {:.0} B/s",
            self.layers,
            self.width,
            self.mean_delay,
            self.rates.bytes_per_sec()
        )
    }
}

/// How many of so many mixes are corrupt: the share, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most the mixes"
)]
pub(super) fn corrupt_mixes(share: f64, mixes: u32) -> u32 {
    // 0.2 of 15 are 3 and no more.
    let corrupt = (share * f64::from(mixes) - 1e-9).ceil().max(0.0) as u32;
    corrupt.min(mixes)
}

pub(super) fn corrupt_path(share: f64, layers: u32, width: u32) -> f64 {
    let balanced =
        theory::all_corrupt_balanced(layers, corrupt_mixes(share, layers * width), width);
    balanced.max(crate::math::pow(share, f64::from(layers)))
}

/// The longest mean delay, rounded down to three digits, with which 99% of the messages keep the
/// request's bound.
pub(super) fn longest_delay(request: &Request, layers: u32, rates: Profile) -> Option<f64> {
    let fits = |delay: f64| {
        latency(request, &rates, layers, delay).is_some_and(|latency| keeps(&latency, request.p99))
    };
    let (mut low, mut high) = DELAYS;
    if !fits(low) {
        return None;
    }
    if fits(high) {
        return Some(high);
    }
    for _ in 0..16 {
        let middle = (low * high).sqrt();
        if fits(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(three_digits(low).max(DELAYS.0))
}

/// Whether 99% are within the bound. Most delays are decided by the first two moments: the mean
/// of a sum of exponential stages is below its 99% point, and Cantelli's inequality is above it.
fn keeps(latency: &Latency, bound: f64) -> bool {
    let (mean, deviation) = (latency.mean(), latency.deviation());
    if bound <= mean {
        return false;
    }
    bound >= mean + 10.0 * deviation || latency.cdf(bound) >= 0.99
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrupt_mixes_are_rounded_up() {
        for (share, mixes, corrupt) in [(0.2, 15, 3), (0.2, 16, 4), (0.0, 9, 0), (0.95, 2, 2)] {
            assert_eq!(corrupt_mixes(share, mixes), corrupt);
        }
        // One corrupt mix in three layers has no path of its own, but a share of the paths that
        // each mix on its own would give.
        assert!((corrupt_path(0.2, 3, 1) - 0.008).abs() < 1e-12);
        assert!((corrupt_path(0.3, 2, 2) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn the_delay_uses_the_latency_up() {
        let request = Request::new(1000, 5.0, 30_000.0, 0.2);
        let rates = super::super::fitting(30_000.0, super::super::rates::SPLITS[0]);
        let candidate = Candidate::slowest(&request, 3, 4, rates);
        assert!(
            candidate.is_some_and(|c| c.p99 <= 5.0 && c.p99 > 4.95),
            "a delay that uses it up"
        );
    }
}
