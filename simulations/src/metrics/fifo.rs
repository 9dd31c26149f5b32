//! The FIFO attack: of two messages that one sender sends one after the other, the adversary says
//! that the one which went in first comes out first.
//!
//! Source: D. Das, C. Diaz, A. Kiayias, T. Zacharias, "Are continuous stop-and-go mixnets provably
//! secure?", `PoPETs` 2024(4).

use rand::Rng;

use super::draw::{self, Trials};

/// The probability that the guess is right, less one half: delta. The delays are `hops`
/// exponentials of rate `mu` (per second), the time between the two messages is an exponential of
/// rate `lambda` (per second). 0 to 0.5.
///
/// `Σ_{j<k} C(k-1+j, j) 2^-(k+j) (mu/(mu+lambda))^(k-j)`: the message that went in later has done
/// its k hops while the first has done j; those that remain take longer than what lay between the
/// two only if the order is turned round.
#[must_use]
pub fn advantage(mu: f64, lambda: f64, hops: u32) -> f64 {
    let ratio = mu / (mu + lambda);
    let k = f64::from(hops);
    // C(k-1+j, j) 2^-(k+j), from j = 0 on.
    let mut race = (0..hops).fold(1.0, |power, _| power / 2.0);
    let mut sum = 0.0;
    for j in 0..hops {
        let rest = (j..hops).fold(1.0, |power, _| power * ratio);
        sum += race * rest;
        let j = f64::from(j);
        race *= (k + j) / (j + 1.0) / 2.0;
    }
    sum
}

/// Plays the attack so many times, and counts how often the guess is right: [`advantage`] and one
/// half.
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
    use crate::seed;

    #[test]
    fn the_formula_gives_the_published_cases() {
        for (lambda, hops, expected) in [(1.0, 1, 0.25), (1.0, 3, 0.1562), (0.1, 3, 0.4193)] {
            assert!((advantage(1.0, lambda, hops) - expected).abs() < 1e-4);
        }
        // Messages that are far apart keep their order; with none between them it is a toss.
        assert!((advantage(1.0, 1e-9, 5) - 0.5).abs() < 1e-6);
        assert!(advantage(1.0, 1e9, 5) < 1e-6);
    }

    #[test]
    fn the_attack_succeeds_as_often_as_the_formula_says() {
        let mut rng = seed::generator(11, 0, "fifo test", 0);
        for (lambda, hops) in [(1.0, 1), (1.0, 3), (0.1, 3)] {
            let trials = simulate(&mut rng, 1.0, lambda, hops, 200_000);
            let (share, error) = (trials.share().unwrap(), trials.standard_error().unwrap());
            let expected = 0.5 + advantage(1.0, lambda, hops);
            assert!((share - expected).abs() < 4.0 * error, "{share} {expected}");
        }
    }
}
