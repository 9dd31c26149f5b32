//! Which nodes are an adversary's.

use std::cmp::Reverse;

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Adversary, Placement, Scenario, TopologyKind};
use crate::seed;

impl Scenario {
    /// The nodes that belong to an adversary in a repetition, marked by their index in the engine's
    /// order: entry providers, mixes layer by layer, exit providers. A corrupt provider is marked
    /// as both of its nodes. Drawn from the scenario's seed, anew for each repetition; adversaries
    /// of one scenario that differ in nothing but their number of nodes have nested sets.
    #[must_use]
    pub fn corrupt_nodes(&self, adversary: &Adversary, repetition: u32) -> Vec<bool> {
        let topology = &self.model.topology;
        let providers = topology.providers as usize;
        let widths: Vec<usize> = topology.widths().iter().map(|w| *w as usize).collect();
        let mixes: usize = widths.iter().sum();
        let mut nodes = vec![false; mixes + 2 * providers];
        let generator = |purpose| seed::generator(self.model.run.seed, repetition, purpose, 0);
        if let Some(corrupt) = &adversary.corrupt_mixes {
            let number = usize::try_from(corrupt.number(mixes as u64)).unwrap_or(mixes);
            let mut rng = generator("corrupt mixes");
            let order = self.order(corrupt.placement, &widths, &mut rng);
            for mix in order.into_iter().take(number) {
                mark(&mut nodes, providers + mix);
            }
        }
        let mut order: Vec<usize> = (0..providers).collect();
        order.shuffle(&mut generator("corrupt providers"));
        for provider in order.into_iter().take(adversary.corrupt_providers as usize) {
            mark(&mut nodes, provider);
            mark(&mut nodes, providers + mixes + provider);
        }
        nodes
    }

    /// The mixes in the order in which they are taken.
    fn order(&self, placement: Placement, widths: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut starts = Vec::with_capacity(widths.len());
        let mut mixes = 0;
        for width in widths {
            starts.push(mixes);
            mixes += width;
        }
        match placement {
            Placement::Random => {
                let mut order: Vec<usize> = (0..mixes).collect();
                order.shuffle(rng);
                order
            }
            Placement::Balanced => {
                let mut layers: Vec<Vec<usize>> = starts
                    .iter()
                    .zip(widths)
                    .map(|(start, width)| (*start..start + width).collect())
                    .collect();
                layers.iter_mut().for_each(|layer| layer.shuffle(rng));
                // A round takes one of each layer; which layer gets the odd one is drawn too.
                layers.shuffle(rng);
                rounds(&layers)
            }
            Placement::Heaviest => {
                let mut order: Vec<usize> = (0..mixes).collect();
                order.sort_by(|a, b| self.share(*b, widths).total_cmp(&self.share(*a, widths)));
                order
            }
            Placement::Path => {
                let layers: Vec<Vec<usize>> = starts
                    .iter()
                    .zip(widths)
                    .map(|(start, width)| {
                        let mut layer: Vec<usize> = (*start..start + width).collect();
                        layer.sort_by_key(|mix| Reverse(total_order(self.share(*mix, widths))));
                        layer
                    })
                    .collect();
                rounds(&layers)
            }
        }
    }

    /// The share of routes that take a mix.
    fn share(&self, mix: usize, widths: &[usize]) -> f64 {
        let topology = &self.model.topology;
        let mut place = mix;
        let mut layer = 0;
        while let Some(width) = widths.get(layer).filter(|width| place >= **width) {
            place -= width;
            layer += 1;
        }
        let list = match topology.kind {
            TopologyKind::Stratified => layer,
            TopologyKind::Cascade | TopologyKind::FreeRoute => 0,
        };
        let weights = topology.weights.as_ref().and_then(|w| w.get(list));
        let width = widths.get(layer).copied().unwrap_or(1);
        weights.map_or_else(
            || 1.0 / precise(width),
            |w| w.get(place).copied().unwrap_or(0.0) / w.iter().sum::<f64>(),
        )
    }
}

/// The first of each list, the second of each list, and so on.
fn rounds(lists: &[Vec<usize>]) -> Vec<usize> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let round = |at: usize| lists.iter().filter_map(move |list| list.get(at).copied());
    (0..longest).flat_map(round).collect()
}

/// The bits of a positive float are in its order.
const fn total_order(positive: f64) -> u64 {
    positive.to_bits()
}

#[expect(clippy::cast_precision_loss, reason = "at most 100,000 mixes")]
const fn precise(width: usize) -> f64 {
    width as f64
}

fn mark(nodes: &mut [bool], at: usize) {
    if let Some(node) = nodes.get_mut(at) {
        *node = true;
    }
}
