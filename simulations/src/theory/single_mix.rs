//! One mix with exponential delays and Poisson arrivals.

use std::f64::consts::E;

use crate::{math, stats};

/// Pools up to this mean are solved exactly; beyond, the limit is as good as the solution: it
/// differs by less than 1e-6 bit.
const LARGEST_SOLVED: f64 = 1e6;

/// Mean entropy of a packet that leaves a mix in equilibrium, in bits: the posterior of a global
/// passive adversary over the packets that came in, averaged over the packets that leave.
///
/// Equation 5 of the Loopix paper (USENIX Security 2017) solved as a Markov chain. The pool is a
/// birth and death process; seen one event at a time, equation 5 says that an arrival into a pool
/// of n takes the entropy H to H({1/(n+1), n/(n+1)}) + n/(n+1) H, and that a departure leaves it as
/// it is. So the mean h(n) of H in a pool of n obeys, in equilibrium,
/// (rho + n) h(n) = n H({1/n, (n-1)/n}) + (n-1) h(n-1) + rho h(n+1),
/// which is tridiagonal; a departure finds n with probability Poisson(n - 1; rho).
///
/// For `rho` of at least 0; time grows with rho, and beyond 10^6 it is
/// [`single_mix_entropy_limit`].
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most LARGEST_SOLVED and some deviations"
)]
pub fn single_mix_entropy(rho: f64) -> f64 {
    if rho.is_nan() || rho < 0.0 {
        return f64::NAN;
    }
    if rho == 0.0 {
        return 0.0;
    }
    if rho > LARGEST_SOLVED {
        return single_mix_entropy_limit(rho);
    }
    let states = (rho + 12.0 * rho.sqrt() + 40.0) as u32;
    let means = pool_means(rho, states);
    let mut sum = 0.0;
    for (n, mean) in (1..=states).zip(means) {
        sum += stats::poisson_pmf(u64::from(n - 1), rho) * mean;
    }
    sum
}

/// h(1) to h(states), by elimination upward and substitution downward. Past the last state the
/// mean is held to be that of the last.
fn pool_means(rho: f64, states: u32) -> Vec<f64> {
    let mut ratios = Vec::new();
    let mut offsets = Vec::new();
    let (mut ratio, mut offset) = (0.0, 0.0);
    // h(n) = offset + ratio h(n+1).
    for n in 1..=states {
        let n = f64::from(n);
        let pivot = rho + n - (n - 1.0) * ratio;
        offset = (n * two_way(1.0 / n) + (n - 1.0) * offset) / pivot;
        ratio = rho / pivot;
        ratios.push(ratio);
        offsets.push(offset);
    }
    let mut above = offset / (1.0 - ratio);
    let mut means: Vec<f64> = ratios
        .iter()
        .zip(&offsets)
        .rev()
        .map(|(ratio, offset)| {
            above = offset + ratio * above;
            above
        })
        .collect();
    means.reverse();
    means
}

/// log2(e rho), what [`single_mix_entropy`] tends to for large pools (Danezis, PET 2004).
#[must_use]
pub fn single_mix_entropy_limit(rho: f64) -> f64 {
    math::log2(E * rho)
}

/// Equation 5 of the Loopix paper: the entropy of a departing packet, in bits, when `arrived`
/// packets came since the last departure, `left` had stayed in the pool after it, and its entropy
/// was `before`. 0 for an empty pool.
#[must_use]
pub fn entropy_step(arrived: u32, left: u32, before: f64) -> f64 {
    let (k, l) = (f64::from(arrived), f64::from(left));
    if arrived == 0 && left == 0 {
        return 0.0;
    }
    let new = k / (k + l);
    let among_new = if arrived == 0 { 0.0 } else { math::log2(k) };
    two_way(new) + new * among_new + (1.0 - new) * before
}

/// Entropy of a choice between two, in bits.
fn two_way(p: f64) -> f64 {
    let part = |p: f64| if p <= 0.0 { 0.0 } else { -p * math::log2(p) };
    part(p) + part(1.0 - p)
}

/// Pr(a mix holds n packets) in equilibrium: Poisson(rho) (Loopix, section 4.1).
#[must_use]
pub fn pool_pmf(n: u64, rho: f64) -> f64 {
    stats::poisson_pmf(n, rho)
}

/// How likely a packet that leaves is one particular packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolGuess {
    /// One particular packet of those that were in the pool at first.
    pub initial: f64,
    /// One particular packet of those that arrived since.
    pub arrived: f64,
}

/// Theorem 1 of the Loopix paper: of `initial` packets seen in the pool (n) `remain` are still
/// there (k), it is not known which, and `arrived` came since (l). `None` where nothing can leave,
/// or more remain than there were.
#[must_use]
pub fn pool_guess(initial: u32, remain: u32, arrived: u32) -> Option<PoolGuess> {
    pool_guess_with_loops(initial, remain, arrived, 1.0, 0.0)
}

/// Theorem 2 of the Loopix paper, as its appendix has it (the main text swaps the labels): as
/// [`pool_guess`] for what leaves a mix that delays at rate `mu` and sends loops at rate `loops`
/// (both per second); the rest of the probability is that of a loop.
#[must_use]
pub fn pool_guess_with_loops(
    initial: u32,
    remain: u32,
    arrived: u32,
    mu: f64,
    loops: f64,
) -> Option<PoolGuess> {
    let (n, k, l) = (f64::from(initial), f64::from(remain), f64::from(arrived));
    let rate = (k + l) * mu + loops;
    if remain > initial || mu.is_nan() || mu <= 0.0 || loops.is_nan() || loops < 0.0 || rate <= 0.0
    {
        return None;
    }
    Some(PoolGuess {
        initial: if initial == 0 { 0.0 } else { k / n * mu / rate },
        arrived: if arrived == 0 { 0.0 } else { mu / rate },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::RngExt;

    use super::*;
    use crate::seed;

    #[test]
    fn the_chain_gives_the_published_table() {
        for (rho, bits) in [
            (0.25, 0.4635),
            (0.5, 0.8628),
            (1.0, 1.5112),
            (2.0, 2.4088),
            (2.5, 2.7315),
            (5.0, 3.7549),
            (10.0, 4.7630),
            (25.0, 6.0863),
            (50.0, 7.0865),
            (250.0, 9.4085),
            (500.0, 10.4085),
            (2500.0, 12.7304),
        ] {
            let ours = single_mix_entropy(rho);
            assert!((ours - bits).abs() < 0.0001, "{rho}: {ours}");
        }
    }

    #[test]
    fn the_chain_meets_its_limits() {
        assert!(single_mix_entropy(0.0).abs() < 1e-15);
        assert!(single_mix_entropy(-1.0).is_nan());
        let (solved, limit) = (single_mix_entropy(1e6), single_mix_entropy_limit(1e6));
        assert!((solved - limit).abs() < 1e-6, "{solved} {limit}");
        let beyond = single_mix_entropy(1.001e6);
        assert!(beyond > solved && beyond < solved + 0.01);
    }

    /// Equation 5 itself, on a simulated pool.
    #[test]
    fn the_chain_is_the_mean_of_equation_5() {
        let mut rng = seed::generator(1, 0, "equation 5", 0);
        let rho = 2.0;
        let (mut arrived, mut left, mut entropy) = (0_u32, 2_u32, 0.0);
        let (mut sum, mut count) = (0.0, 0);
        while count < 400_000 {
            let pool = f64::from(arrived + left);
            if rng.random::<f64>() * (rho + pool) < rho {
                arrived += 1;
            } else {
                entropy = entropy_step(arrived, left, entropy);
                left = arrived + left - 1;
                arrived = 0;
                sum += entropy;
                count += 1;
            }
        }
        let mean = sum / f64::from(count);
        assert!((mean - single_mix_entropy(rho)).abs() < 0.01, "{mean}");
    }

    #[test]
    fn steps_of_equation_5() {
        // Nothing was left: uniform among what came.
        assert!((entropy_step(8, 0, 5.0) - 3.0).abs() < 1e-12);
        // Nothing came: as before.
        assert!((entropy_step(0, 3, 1.25) - 1.25).abs() < 1e-12);
        // One of two equally likely halves, the old one uniform over two.
        assert!((entropy_step(2, 2, 1.0) - 2.0).abs() < 1e-12);
        assert!(entropy_step(0, 0, 1.0).abs() < 1e-15);
    }

    #[test]
    fn the_theorems_share_out_all_probability() {
        let guess = pool_guess(5, 3, 4).unwrap();
        assert!((guess.initial - 3.0 / 35.0).abs() < 1e-15);
        assert!((guess.arrived - 1.0 / 7.0).abs() < 1e-15);
        assert!((5.0 * guess.initial + 4.0 * guess.arrived - 1.0).abs() < 1e-12);

        let guess = pool_guess_with_loops(5, 3, 4, 2.0, 6.0).unwrap();
        assert!((guess.initial - 0.6 * 2.0 / 20.0).abs() < 1e-15);
        assert!((guess.arrived - 0.1).abs() < 1e-15);
        let of_loops = 6.0 / 20.0;
        assert!((5.0 * guess.initial + 4.0 * guess.arrived + of_loops - 1.0).abs() < 1e-12);

        assert_eq!(pool_guess(2, 3, 1), None);
        assert_eq!(pool_guess(2, 0, 0), None);
        assert_eq!(pool_guess_with_loops(1, 1, 1, 0.0, 1.0), None);
    }

    #[test]
    fn pools_are_poisson() {
        let mean: f64 = (0..200_u32)
            .map(|n| f64::from(n) * pool_pmf(u64::from(n), 7.5))
            .sum();
        let square: f64 = (0..200_u32)
            .map(|n| f64::from(n) * f64::from(n) * pool_pmf(u64::from(n), 7.5))
            .sum();
        assert!((mean - 7.5).abs() < 1e-9 && (square - mean * mean - 7.5).abs() < 1e-9);
    }
}
