//! How long a mix holds a packet: exponential with one mean for the whole network ("The Loopix
//! Anonymity System", section 4.2), so that the pool is memoryless.

use rand::{CryptoRng, RngExt};
use shoal_proto::Span;

/// The 1 - 1e-12 quantile of the exponential distribution, in means: -ln(1e-12), rounded down.
/// High enough that the cap does not spoil the memorylessness.
const CAP_PER_MILLE: u64 = 27_630;
/// What a node clamps to: just above the cap, so that rounding never shortens an honest delay.
const CLAMP_PER_MILLE: u64 = 27_640;

/// For so long a provider holds every answer before its exponential delay begins, whatever the answer says: long enough
/// for most disks to have written what was deposited. An exponential delay alone is shorter than a few milliseconds for
/// one answer in thirty, which then can't say yet that the deposit is stored. To whoever looks on, it is as if the way
/// were longer by this much for all.
pub const BEFORE_ANSWER: Span = Span::from_millis(20);

/// A delay in means: exponential with mean 1, from 0 to 27.63. By inversion, with a logarithm that
/// is compiled in: the same bits on every machine.
#[must_use]
pub fn unit<R: CryptoRng + ?Sized>(rng: &mut R) -> f64 {
    let uniform: f64 = rng.random();
    (0.0 - libm::log(1.0 - uniform)).min(CAP_PER_MILLE as f64 / 1_000.0)
}

/// The time to the next tick of a Poisson process with this rate per second, in seconds; `None` if
/// the rate is not a positive number, for then it never ticks.
#[must_use]
pub fn gap<R: CryptoRng + ?Sized>(rng: &mut R, rate: f64) -> Option<f64> {
    (rate > 0.0 && rate.is_finite()).then(|| unit(rng) / rate)
}

/// A delay with this mean, at most 27.63 times it. A mean of zero gives zero.
#[must_use]
pub fn sample<R: CryptoRng + ?Sized>(rng: &mut R, mean: Span) -> Span {
    Span::from_secs_f64(unit(rng) * mean.as_secs_f64()).min(mean.scale(CAP_PER_MILLE, 1_000))
}

/// What a node makes of a delay that a packet asks for: never more than 27.64 means.
#[must_use]
pub fn clamp(delay: Span, mean: Span) -> Span {
    delay.min(mean.scale(CLAMP_PER_MILLE, 1_000))
}
