//! Where corrupt nodes are.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::engine::{Plan, Routes};
use crate::scenario::{Adversary, Placement};
use crate::seed;

/// A mix as placement sees it.
struct Mix {
    node: usize,
    layer: usize,
    /// Its place in its layer: of a cascade, the chain.
    column: usize,
    /// The share of the layer's routes that go through it.
    weight: f64,
}

/// Which nodes are corrupt, by global index.
pub(super) fn place(
    adversary: &Adversary,
    plan: &Plan,
    seed: u64,
    repetition: u32,
    index: u64,
) -> Vec<bool> {
    let mut corrupt = vec![false; plan.nodes() as usize];
    let mut rng = seed::generator(seed, repetition, "placement", index);
    let mut mixes = mixes(plan);
    let total = mixes.len();
    // Whatever is alike afterwards is in random order.
    mixes.shuffle(&mut rng);
    if let Some(model) = &adversary.corrupt_mixes {
        let wanted = usize::try_from(model.number(total as u64)).unwrap_or(usize::MAX);
        order(&mut mixes, model.placement, plan, &mut rng);
        for mix in mixes.iter().take(wanted) {
            mark(&mut corrupt, mix.node);
        }
    }
    let mut rng = seed::generator(seed, repetition, "placement of providers", index);
    let count = plan.network.providers as usize;
    let mut providers: Vec<usize> = (0..count).collect();
    providers.shuffle(&mut rng);
    for provider in providers.iter().take(adversary.corrupt_providers as usize) {
        mark(&mut corrupt, *provider);
        mark(&mut corrupt, count + total + provider);
    }
    corrupt
}

fn mark(corrupt: &mut [bool], node: usize) {
    if let Some(corrupt) = corrupt.get_mut(node) {
        *corrupt = true;
    }
}

fn mixes(plan: &Plan) -> Vec<Mix> {
    let mut mixes = Vec::new();
    let first = plan.network.layers.first();
    for (layer, own) in plan.network.layers.iter().enumerate() {
        // All mixes of a chain are taken as often as its first.
        let weights = match plan.network.routes {
            Routes::Cascade => first.unwrap_or(own),
            Routes::Stratified | Routes::Free { .. } => own,
        };
        let sum: f64 = weights.iter().sum();
        for column in 0..own.len() {
            mixes.push(Mix {
                node: plan.network.providers as usize + mixes.len(),
                layer,
                column,
                weight: weights.get(column).map_or(0.0, |weight| weight / sum),
            });
        }
    }
    mixes
}

/// Puts the mixes, which come in random order, into the order in which they are corrupted.
fn order(mixes: &mut [Mix], placement: Placement, plan: &Plan, rng: &mut ChaCha8Rng) {
    match placement {
        Placement::Random => {}
        Placement::Balanced => {
            // Layers take turns; which of them gets one more is random.
            let mut turns: Vec<usize> = (0..plan.network.layers.len()).collect();
            turns.shuffle(rng);
            by_rounds(mixes, &turns);
        }
        Placement::Heaviest => mixes.sort_by(|a, b| b.weight.total_cmp(&a.weight)),
        Placement::Path => {
            let cascade = plan.network.routes == Routes::Cascade;
            mixes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
            if cascade {
                // Chain by chain, in the order in which the chains first come up.
                let mut rank = vec![usize::MAX; mixes.len()];
                for (place, mix) in mixes.iter().enumerate() {
                    if let Some(rank) = rank.get_mut(mix.column) {
                        *rank = (*rank).min(place);
                    }
                }
                mixes.sort_by_key(|mix| (rank.get(mix.column).copied(), mix.layer));
            } else {
                let turns: Vec<usize> = (0..plan.network.layers.len()).collect();
                by_rounds(mixes, &turns);
            }
        }
        #[expect(unreachable_patterns, reason = "placements may come to be more")]
        _ => {}
    }
}

/// The first mix of each layer, then the second of each, …: layers in the order of their turns,
/// mixes of a layer in the order that they are in.
fn by_rounds(mixes: &mut [Mix], turns: &[usize]) {
    let mut seen = vec![0_usize; turns.len()];
    let mut keys = BTreeMap::new();
    for mix in mixes.iter() {
        let turn = turns.iter().position(|layer| *layer == mix.layer);
        if let Some(round) = seen.get_mut(mix.layer) {
            keys.insert(mix.node, (*round, turn));
            *round += 1;
        }
    }
    mixes.sort_by_key(|mix| keys.get(&mix.node).copied());
}

#[cfg(test)]
mod tests {
    use super::super::tests::{adversary, plan};
    use super::*;

    fn per_layer(corrupt: &[bool], plan: &Plan) -> Vec<usize> {
        let mut node = plan.network.providers as usize;
        let layers = plan.network.layers.iter().map(|layer| {
            let own = &corrupt[node..node + layer.len()];
            node += layer.len();
            own.iter().filter(|corrupt| **corrupt).count()
        });
        layers.collect()
    }

    #[test]
    fn balanced_placement_is_as_even_as_the_layers_allow() {
        let plan = plan(&[&[1.0; 2], &[1.0; 5], &[1.0; 5]]);
        let mut extra = [0; 3];
        for seed in 0..40 {
            let four = place(&adversary(4, Placement::Balanced), &plan, seed, 0, 0);
            let counts = per_layer(&four, &plan);
            assert_eq!(counts.iter().sum::<usize>(), 4);
            for (layer, count) in counts.iter().enumerate() {
                assert!((1..=2).contains(count));
                extra[layer] += count - 1;
            }
            let ten = place(&adversary(10, Placement::Balanced), &plan, seed, 0, 0);
            assert_eq!(per_layer(&ten, &plan), [2, 4, 4]);
        }
        assert!(extra.iter().all(|count| *count > 3), "{extra:?}");
    }

    #[test]
    fn random_placement_takes_each_mix_as_often() {
        let plan = plan(&[&[1.0; 3], &[1.0; 3]]);
        let mut taken = [0_u32; 6];
        for repetition in 0..600 {
            let corrupt = place(&adversary(2, Placement::Random), &plan, 1, repetition, 0);
            for (count, corrupt) in taken.iter_mut().zip(corrupt) {
                *count += u32::from(corrupt);
            }
        }
        // 200 each, standard deviation 11.5.
        assert!(taken.iter().all(|n| (150..=250).contains(n)), "{taken:?}");
    }

    #[test]
    fn targeted_placement_takes_the_heaviest_or_whole_routes() {
        let plan = plan(&[&[1.0, 3.0], &[5.0, 1.0], &[1.0, 1.0]]);
        // Shares: .25 .75, .83 .17, .5 .5.
        let heaviest = place(&adversary(2, Placement::Heaviest), &plan, 1, 0, 0);
        assert_eq!(heaviest, [false, true, true, false, false, false]);
        let path = place(&adversary(4, Placement::Path), &plan, 1, 0, 0);
        assert_eq!(per_layer(&path, &plan), [2, 1, 1]);
        assert!(path[1] && path[2]);
    }

    #[test]
    fn whole_chains_of_a_cascade_are_taken() {
        let mut plan = plan(&[&[1.0, 3.0, 1.0], &[1.0; 3], &[1.0; 3]]);
        plan.network.routes = Routes::Cascade;
        for seed in 0..10 {
            let corrupt = place(&adversary(6, Placement::Path), &plan, seed, 0, 0);
            let chain = |c: usize| [corrupt[c], corrupt[c + 3], corrupt[c + 6]];
            assert_eq!(chain(1), [true; 3]);
            assert!(chain(0) == [true; 3] || chain(2) == [true; 3]);
        }
    }

    #[test]
    fn a_corrupt_provider_is_two_nodes() {
        let mut plan = plan(&[&[1.0; 3]]);
        plan.network.providers = 4;
        let mut model = adversary(1, Placement::Random);
        model.corrupt_providers = 2;
        let corrupt = place(&model, &plan, 1, 0, 0);
        assert_eq!(corrupt.len(), 11);
        assert_eq!(corrupt[..4], corrupt[7..]);
        assert_eq!(corrupt[..4].iter().filter(|c| **c).count(), 2);
        assert_eq!(corrupt[4..7].iter().filter(|c| **c).count(), 1);
        // Another adversary of the same run has other places, some time.
        assert!((0..20).any(|index| place(&model, &plan, 1, 0, index) != corrupt));
    }
}
