//! Attacks whose success has a closed form.

use crate::{math, stats};

/// Pr(the n-1 attack finds its target) on a mix that delays at rate `mu`, sends loops at rate
/// `loops`, and lets in foreign packets at rate `foreign` of which the attacker lets through one in
/// `shut_out` (s; at least 1), all per second: the attacker takes the first packet that leaves
/// after the target came for the target. s mu / (s mu + s lambda_M + lambda_R); the Loopix paper's
/// s mu / (s lambda_M + lambda_R) is its limit for many packets and exceeds 1 elsewhere.
#[must_use]
pub fn n_minus_one(mu: f64, loops: f64, foreign: f64, shut_out: f64) -> f64 {
    n_minus_one_success((loops + foreign / shut_out) / mu)
}

/// [`n_minus_one`] by rho' = (lambda_M + lambda_R / s) / mu alone: 1 / (1 + rho').
#[must_use]
pub fn n_minus_one_success(rho: f64) -> f64 {
    1.0 / (1.0 + rho)
}

/// The advantage delta of the FIFO attack (Das, Diaz, Kiayias and Zacharias, `PoPETs` 2024): the
/// target sends `messages` (k, at least 1) through a mix that delays at rate `mu` while it sends at
/// rate `sending` (`lambda_s`), both per second, and the attacker takes what goes in first for what
/// comes out first. The sum over j below k of C(k-1+j, j) 2^-(k+j) (mu/(mu + lambda_s))^(k-j).
#[must_use]
pub fn fifo_delta(sending: f64, mu: f64, messages: u32) -> f64 {
    let k = f64::from(messages);
    let ln_kept = math::ln(mu / (mu + sending));
    (0..messages)
        .map(|j| {
            let ln_ways = stats::ln_choose(u64::from(messages - 1 + j), u64::from(j));
            let j = f64::from(j);
            let ln_half = -(k + j) * std::f64::consts::LN_2;
            math::exp(ln_ways + ln_half + (k - j) * ln_kept)
        })
        .sum()
}

/// Epsilon = |ln(p0/p1)| of two packets in one mix with exponential delays, as seen at a challenge
/// output after both came in: `pools` are the numbers of packets in the mix, each just before one
/// of the departures between the two arrivals. What is left of the first packet's probability is
/// the product of 1 - 1/n. Infinite if the mix was emptied in between; 0 without a departure.
#[must_use]
pub fn epsilon_one_mix(pools: &[u32]) -> f64 {
    pools
        .iter()
        .map(|n| -libm::log1p(-1.0 / f64::from((*n).max(1))))
        .sum()
}

/// The limit of [`epsilon_one_mix`] for large pools: `mu` times the seconds between the arrivals.
#[must_use]
pub fn epsilon_large_pool(mu: f64, gap: f64) -> f64 {
    mu * gap.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() < tolerance, "{a} is not {b}");
    }

    #[test]
    fn the_n_minus_one_attack_has_its_published_chances() {
        for (rho, chance) in [
            (0.1, 0.909),
            (0.5, 0.667),
            (1.0, 0.5),
            (2.0, 0.333),
            (5.0, 0.167),
        ] {
            near(n_minus_one_success(rho), chance, 0.0005);
        }
        // mu 2, loops 1, foreign 30 shut out to a tenth: rho' = (1 + 3) / 2.
        near(n_minus_one(2.0, 1.0, 30.0, 10.0), 1.0 / 3.0, 1e-12);
        let (mu, loops, foreign, s) = (2.0, 1.0, 30.0, 10.0);
        let longhand = s * mu / (s * mu + s * loops + foreign);
        near(n_minus_one(mu, loops, foreign, s), longhand, 1e-12);
    }

    #[test]
    fn the_fifo_attack_has_its_published_advantage() {
        for (sending, mu, messages, delta) in [
            (1.0, 1.0, 1, 0.25),
            (1.0, 1.0, 3, 0.1562),
            (0.1, 1.0, 3, 0.4193),
        ] {
            near(fifo_delta(sending, mu, messages), delta, 0.00005);
        }
        assert!(fifo_delta(1.0, 1.0, 500).is_finite());
        near(fifo_delta(1.0, 1.0, 0), 0.0, 1e-15);
    }

    #[test]
    fn epsilon_of_one_mix() {
        near(epsilon_one_mix(&[]), 0.0, 1e-15);
        near(epsilon_one_mix(&[2, 4]), math::ln(2.0 / 0.75), 1e-12);
        assert!(epsilon_one_mix(&[3, 1]).is_infinite());
        // A pool of 10^6 at mu = 2: 2,000,000 departures per second, half a second apart.
        let pools = vec![1_000_000; 1_000_000];
        near(epsilon_one_mix(&pools), epsilon_large_pool(2.0, 0.5), 1e-5);
    }
}
