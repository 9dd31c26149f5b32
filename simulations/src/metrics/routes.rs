//! How likely it is that every mix of a route is corrupt.
//!
//! Source: the arithmetic is that of C. Diaz, S. J. Murdoch, C. Troncoso, "Impact of Network
//! Topology on Anonymity and Overhead in Low-Latency Anonymity Networks", 2010, section 4.

use crate::theory::all_corrupt_random;

/// The probability in a layered network of which it is known who is corrupt: the product of the
/// corrupt shares of the layers' weights. Each layer is a list of weights and whether that mix is
/// corrupt.
#[must_use]
pub fn all_corrupt_in_layers(layers: &[Vec<(f64, bool)>]) -> f64 {
    let share = |layer: &Vec<(f64, bool)>| {
        let all: f64 = layer.iter().map(|(weight, _)| weight).sum();
        let bad: f64 = layer
            .iter()
            .filter_map(|(weight, corrupt)| corrupt.then_some(weight))
            .sum();
        if all > 0.0 { bad / all } else { 0.0 }
    };
    layers.iter().map(share).product()
}

/// The probability in a free route network that takes `length` different mixes, each drawn by the
/// weights of those that are left; `None` beyond equal weights, where no short formula is known.
#[must_use]
pub fn all_corrupt_in_free_routes(mixes: &[(f64, bool)], length: u32) -> Option<f64> {
    let (first, _) = mixes.first()?;
    let equal = mixes
        .iter()
        .all(|(weight, _)| weight >= first && weight <= first);
    let corrupt = mixes.iter().filter(|(_, corrupt)| *corrupt).count();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    equal.then(|| all_corrupt_random(length, count(corrupt), count(mixes.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formulas_agree_on_averages() {
        // 2 of 4 mixes corrupt in 2 layers of 2: of 6 placements 4 have one in each layer, with
        // 1/4, and 2 have none in one of them.
        let expected = 4.0 / 6.0 / 4.0;
        assert!((all_corrupt_random(2, 2, 4) - expected).abs() < 1e-15);
        let split = [
            vec![(1.0, true), (1.0, false)],
            vec![(1.0, false), (1.0, true)],
        ];
        assert!((all_corrupt_in_layers(&split) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn weights_count() {
        let layers = [
            vec![(3.0, true), (1.0, false)],
            vec![(1.0, true), (1.0, true)],
        ];
        assert!((all_corrupt_in_layers(&layers) - 0.75).abs() < 1e-15);
        let free = [(1.0, true), (1.0, true), (1.0, false)];
        assert!((all_corrupt_in_free_routes(&free, 2).unwrap() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(
            all_corrupt_in_free_routes(&[(1.0, true), (2.0, false)], 1),
            None
        );
    }
}
