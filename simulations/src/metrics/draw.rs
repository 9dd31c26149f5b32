//! Draws of the attacks that are simulated apart from a run.

use rand::{Rng, RngExt};

use crate::math;

/// An exponential time of this mean, in its unit; 0 for a mean of 0.
pub(crate) fn exponential<R: Rng + ?Sized>(rng: &mut R, mean: f64) -> f64 {
    // 1 - u is never 0.
    -mean * math::ln(1.0 - rng.random::<f64>())
}

/// The sum of so many exponential times of this mean.
pub(crate) fn erlang<R: Rng + ?Sized>(rng: &mut R, stages: u32, mean: f64) -> f64 {
    (0..stages).map(|_| exponential(rng, mean)).sum()
}

/// A share of successes among trials, and what they say about the probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trials {
    /// How many succeeded.
    pub successes: u64,
    /// How many there were.
    pub count: u64,
}

impl Trials {
    /// Counts one more.
    pub fn add(&mut self, success: bool) {
        self.count += 1;
        self.successes += u64::from(success);
    }

    /// The share of successes, 0 to 1; `None` without trials.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of trials are below 2^52"
    )]
    pub fn share(&self) -> Option<f64> {
        (self.count > 0).then(|| self.successes as f64 / self.count as f64)
    }

    /// The standard error of the share if the trials are independent; `None` without trials.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of trials are below 2^52"
    )]
    pub fn standard_error(&self) -> Option<f64> {
        let share = self.share()?;
        Some((share * (1.0 - share) / self.count as f64).sqrt())
    }
}
