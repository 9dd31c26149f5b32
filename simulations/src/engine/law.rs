//! Drawing delays. Everything by inversion or rejection with `crate::math`.

use rand::{CryptoRng, RngExt};
use shoal_topology::delay::unit;

use super::{Delay, Link};
use crate::math;

/// An integer shape up to this is drawn as a sum of exponentials.
const MOST_PHASES: f64 = 16.0;

impl Delay {
    /// Its mean, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Exponential { mean } | Self::Gamma { mean, .. } => mean,
            Self::Constant { seconds } => seconds,
            Self::Uniform { least, most } => (least + most) / 2.0,
            Self::Lognormal { median, sigma } => median * math::exp(sigma * sigma / 2.0),
            Self::Pareto { scale, shape } => scale * shape / (shape - 1.0),
        }
    }

    /// Its least value, in seconds.
    #[must_use]
    pub const fn least(&self) -> f64 {
        match *self {
            Self::Exponential { .. } | Self::Gamma { .. } | Self::Lognormal { .. } => 0.0,
            Self::Constant { seconds } => seconds,
            Self::Uniform { least, .. } => least,
            Self::Pareto { scale, .. } => scale,
        }
    }

    /// A delay, in seconds.
    #[inline]
    pub fn draw<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> f64 {
        match *self {
            Self::Exponential { mean } => mean * unit(rng),
            Self::Constant { seconds } => seconds,
            Self::Uniform { least, most } => least + (most - least) * rng.random::<f64>(),
            Self::Gamma { shape, mean } => gamma(rng, shape) * (mean / shape),
            Self::Lognormal { median, sigma } => median * math::exp(sigma * normal(rng)),
            Self::Pareto { scale, shape } => scale * math::exp(unit(rng) / shape),
        }
    }
}

impl Link {
    /// The least delay of any packet, in seconds.
    #[must_use]
    pub fn least(&self) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Matrix { seconds, .. } => seconds.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Random { least, extra } => least + extra.least(),
        }
    }

    /// The mean over packets, of a matrix over its entries, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Matrix { seconds, .. } => {
                seconds.iter().sum::<f64>() / seconds.len().max(1) as f64
            }
            Self::Random { least, extra } => least + extra.mean(),
        }
    }

    /// The delay of a packet between two nodes, counted within their stages.
    #[inline]
    pub(super) fn draw<R: CryptoRng + ?Sized>(&self, rng: &mut R, from: u32, to: u32) -> f64 {
        match self {
            Self::Constant(seconds) => *seconds,
            Self::Matrix { columns, seconds } => {
                let at = from as usize * *columns as usize + to as usize;
                seconds.get(at).copied().unwrap_or(0.0)
            }
            Self::Random { least, extra } => least + extra.draw(rng),
        }
    }
}

/// A standard normal variable by Marsaglia's polar method.
fn normal<R: CryptoRng + ?Sized>(rng: &mut R) -> f64 {
    loop {
        let x = 2.0 * rng.random::<f64>() - 1.0;
        let y = 2.0 * rng.random::<f64>() - 1.0;
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * math::ln(square) / square).sqrt();
        }
    }
}

/// A gamma variable of scale 1: a sum of exponentials for a small integer shape, else by Marsaglia
/// and Tsang, "A simple method for generating gamma variables" (2000).
fn gamma<R: CryptoRng + ?Sized>(rng: &mut R, shape: f64) -> f64 {
    if shape <= MOST_PHASES && shape.floor() == shape {
        return (0..shape as u32).map(|_| unit(rng)).sum();
    }
    if shape < 1.0 {
        let power = unit(rng) / shape;
        return gamma(rng, shape + 1.0) * math::exp(-power);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        let u = 1.0 - rng.random::<f64>();
        if math::ln(u) < 0.5 * x * x + d - d * v + d * math::ln(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and variance of 200,000 draws, within 5 standard errors of what they should be.
    #[test]
    fn delays_have_their_mean_and_variance() {
        let mut rng = crate::seed::generator(1, 0, "laws", 0);
        for (delay, variance) in [
            (Delay::Exponential { mean: 2.0 }, 4.0),
            (Delay::Constant { seconds: 0.3 }, 0.0),
            (
                Delay::Uniform {
                    least: 1.0,
                    most: 4.0,
                },
                0.75,
            ),
            (
                Delay::Gamma {
                    shape: 3.0,
                    mean: 1.5,
                },
                0.75,
            ),
            (
                Delay::Gamma {
                    shape: 2.5,
                    mean: 1.5,
                },
                0.9,
            ),
            (
                Delay::Gamma {
                    shape: 0.5,
                    mean: 1.0,
                },
                2.0,
            ),
            (
                Delay::Lognormal {
                    median: 1.0,
                    sigma: 0.5,
                },
                0.364_696,
            ),
            (
                Delay::Pareto {
                    scale: 1.0,
                    shape: 9.0,
                },
                0.020_089,
            ),
        ] {
            let n = 200_000;
            let draws: Vec<f64> = (0..n).map(|_| delay.draw(&mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(n);
            let moment =
                |k: i32| draws.iter().map(|x| (x - mean).powi(k)).sum::<f64>() / f64::from(n);
            let error = 5.0 * (moment(2) / f64::from(n)).sqrt() + 1e-9;
            assert!((mean - delay.mean()).abs() < error, "{delay:?}: {mean}");
            let spread = (moment(4) - moment(2) * moment(2)).max(0.0);
            let error = 5.0 * (spread / f64::from(n)).sqrt() + 1e-9;
            assert!(
                (moment(2) - variance).abs() < error,
                "{delay:?}: {}",
                moment(2)
            );
            assert!(draws.iter().all(|x| *x >= delay.least()));
        }
    }
}
