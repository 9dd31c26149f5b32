//! The FIFO attack: of two messages that one sender sends one after the other, the adversary says
//! that the one which went in first comes out first.
//!
//! Source: D. Das, C. Diaz, A. Kiayias, T. Zacharias, "Are continuous stop-and-go mixnets provably
//! secure?", `PoPETs` 2024(4).

use rand::Rng;

use super::draw::{self, Trials};
#[cfg(doc)]
use crate::theory::fifo_delta;

/// Plays the attack so many times, and counts how often the guess is right: one half and
/// [`fifo_delta`].
pub fn simulate<R: Rng + ?Sized>(
    rng: &mut R,
    mu: f64,
    lambda: f64,
    hops: u32,
    count: u64,
) -> Trials {
    let mut trials = Trials::default();
    for _ in 0..count {
        let between = draw::exponential(rng, 1.0 / lambda);
        let first = draw::erlang(rng, hops, 1.0 / mu);
        let second = between + draw::erlang(rng, hops, 1.0 / mu);
        trials.add(first < second);
    }
    trials
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{seed, theory::fifo_delta};

    #[test]
    fn the_attack_succeeds_as_often_as_the_formula_says() {
        let mut rng = seed::generator(11, 0, "fifo test", 0);
        for (lambda, hops) in [(1.0, 1), (1.0, 3), (0.1, 3)] {
            let trials = simulate(&mut rng, 1.0, lambda, hops, 200_000);
            let (share, error) = (trials.share().unwrap(), trials.standard_error().unwrap());
            let expected = 0.5 + fifo_delta(lambda, 1.0, hops);
            assert!((share - expected).abs() < 4.0 * error, "{share} {expected}");
        }
    }
}
