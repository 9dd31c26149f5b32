//! How long to wait before something is tried again.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Waits that double with every failure, each drawn from its upper half, so that peers that
/// failed together do not come back together.
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    rng: ChaCha8Rng,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        Self {
            first,
            longest: longest.max(first),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// How long to wait after so many failures in a row. None after none.
    pub(super) fn wait(&mut self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings.min(20)).unwrap_or(u32::MAX);
        let wait = self.first.saturating_mul(factor).min(self.longest);
        wait / 2 + self.jitter(wait / 2)
    }

    /// Some time up to `most`.
    pub(super) fn jitter(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.rng.random_range(0..=most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_differ() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(3));
        let mut backoff = Backoff::new(first, longest, 1);
        assert_eq!(backoff.wait(0), Duration::ZERO);
        for failures in 1..100 {
            let full = first
                .saturating_mul(1 << (failures - 1).min(20))
                .min(longest);
            for _ in 0..20 {
                let wait = backoff.wait(failures);
                assert!(wait >= full / 2 && wait <= full, "{failures}: {wait:?}");
            }
        }
        assert_ne!(backoff.wait(5), backoff.wait(5));
    }
}
