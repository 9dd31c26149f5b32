//! How likely it is that every mix of a route is corrupt.
//!
//! Source: the arithmetic is that of C. Diaz, S. J. Murdoch, C. Troncoso, "Impact of Network
//! Topology on Anonymity and Overhead in Low-Latency Anonymity Networks", 2010, section 4.

use crate::engine::{Network, Routes};

/// The probability that all mixes of a packet's route are corrupt, in a network in which it is
/// known which mixes (by place among all mixes, layer by layer) are.
#[must_use]
pub fn all_corrupt(network: &Network, is_corrupt: impl Fn(usize) -> bool) -> f64 {
    let mut mix = 0;
    let mut layers = Vec::new();
    for layer in &network.layers {
        let marked = layer.iter().enumerate();
        layers.push(
            marked
                .map(|(place, weight)| (*weight, is_corrupt(mix + place)))
                .collect::<Vec<_>>(),
        );
        mix += layer.len();
    }
    match network.routes {
        Routes::Stratified => layers.iter().map(|layer| share(layer)).product(),
        Routes::Cascade => share(&chains(&layers)),
        Routes::Free { hops } => free(layers.first().map_or(&[], Vec::as_slice), hops),
    }
}

/// The corrupt share of a list of weights.
fn share(layer: &[(f64, bool)]) -> f64 {
    let all: f64 = layer.iter().map(|(weight, _)| weight).sum();
    let corrupt = layer.iter().filter(|(_, corrupt)| *corrupt);
    let bad: f64 = corrupt.map(|(weight, _)| weight).sum();
    if all > 0.0 { bad / all } else { 0.0 }
}

/// The chains of a cascade, with the first layer's weights: corrupt if each of their mixes is.
fn chains(layers: &[Vec<(f64, bool)>]) -> Vec<(f64, bool)> {
    let first = layers.first().into_iter().flatten().enumerate();
    first
        .map(|(column, (weight, _))| {
            let corrupt = |layer: &Vec<(f64, bool)>| layer.get(column).is_some_and(|mix| mix.1);
            (*weight, layers.iter().all(corrupt))
        })
        .collect()
}

/// Free routes: each mix is drawn by weight among all but the one before.
fn free(mixes: &[(f64, bool)], hops: u32) -> f64 {
    let all: f64 = mixes.iter().map(|(weight, _)| weight).sum();
    let corrupt: Vec<f64> = mixes
        .iter()
        .filter_map(|(weight, corrupt)| corrupt.then_some(*weight))
        .collect();
    // The probability that the route so far is corrupt and ends at each corrupt mix.
    let mut at: Vec<f64> = corrupt.iter().map(|weight| weight / all).collect();
    for _ in 1..hops {
        // What each would send on, over the weights that are not its own.
        let parts = at.iter().zip(&corrupt);
        let rates: Vec<f64> = parts
            .map(|(p, w)| if all > *w { p / (all - w) } else { 0.0 })
            .collect();
        let sum: f64 = rates.iter().sum();
        at = rates
            .iter()
            .zip(&corrupt)
            .map(|(rate, w)| w * (sum - rate))
            .collect();
    }
    at.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Delay;
    use crate::theory;

    fn network(routes: Routes, layers: &[&[f64]]) -> Network {
        Network {
            routes,
            layers: layers.iter().map(|layer| layer.to_vec()).collect(),
            providers: 0,
            mix_delay: Delay::Constant { seconds: 0.0 },
            provider_delay: Delay::Constant { seconds: 0.0 },
            server: None,
            mix_loops: 0.0,
        }
    }

    #[test]
    fn placements_average_to_the_product() {
        // All placements of 4 corrupt mixes on 3 layers of 3: the formula for random placement.
        let network = network(Routes::Stratified, &[&[1.0; 3], &[1.0; 3], &[1.0; 3]]);
        let (mut sum, mut count) = (0.0, 0.0);
        for chosen in (0..1_u32 << 9).filter(|bits| bits.count_ones() == 4) {
            sum += all_corrupt(&network, |mix| chosen >> mix & 1 == 1);
            count += 1.0;
        }
        let expected = theory::all_corrupt_random(3, 4, 9);
        assert!((sum / count - expected).abs() < 1e-12);
    }

    #[test]
    fn weights_and_routes_count() {
        let layers: &[&[f64]] = &[&[3.0, 1.0], &[1.0, 1.0]];
        let corrupt = |mix: usize| [true, false, true, true][mix];
        let stratified = all_corrupt(&network(Routes::Stratified, layers), corrupt);
        assert!((stratified - 0.75).abs() < 1e-15);
        let cascade = all_corrupt(&network(Routes::Cascade, layers), |mix| {
            mix == 0 || mix == 2
        });
        assert!((cascade - 0.75).abs() < 1e-15);
        let broken = all_corrupt(&network(Routes::Cascade, layers), |mix| {
            mix == 0 || mix == 3
        });
        assert!(broken.abs() < 1e-15);
    }

    #[test]
    fn free_routes_never_stay() {
        // 2 of 3 corrupt: 2/3, then the other of the two: 1/2, then back: 1/2.
        let three = network(Routes::Free { hops: 3 }, &[&[1.0; 3]]);
        let found = all_corrupt(&three, |mix| mix < 2);
        assert!((found - 2.0 / 12.0).abs() < 1e-15);
        // Weights 2, 1, 1 with the first two corrupt: (2/4)(1/2) + (1/4)(2/3).
        let weighed = network(Routes::Free { hops: 2 }, &[&[2.0, 1.0, 1.0]]);
        let found = all_corrupt(&weighed, |mix| mix < 2);
        assert!((found - (0.25 + 1.0 / 6.0)).abs() < 1e-15);
        assert!(all_corrupt(&three, |mix| mix < 1).abs() < 1e-15);
    }
}
