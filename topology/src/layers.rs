//! Which mix stands in which layer: sticky and balanced, the same everywhere.

use std::collections::BTreeMap;

use shoal_proto::{Epoch, NetworkHash, NodeId};

use crate::Family;
use crate::canonical::Canonical;

/// Mixes that go into one layer together: a family, or one mix without a family.
struct Unit {
    members: Vec<NodeId>,
    /// Decides between equals; depends on nothing but the network, the epoch and the unit.
    rank: [u8; 32],
    /// The layer it has, from 0.
    layer: Option<usize>,
}

/// Puts every mix into a layer, 1 to `layers`. The result depends only on the set of mixes, their
/// families and the layers they had before: never on the order of arrival.
///
/// Who has a layer keeps it; newcomers go where the fewest are; then units move from full layers
/// to emptier ones for as long as a move makes the sizes more equal.
pub(crate) fn assign(
    network: &NetworkHash,
    epoch: Epoch,
    layers: u8,
    mixes: &BTreeMap<NodeId, String>,
    before: impl Fn(&NodeId) -> Option<u8>,
) -> BTreeMap<NodeId, u8> {
    let count = usize::from(layers.max(1));
    let mut units = units(network, epoch, count, mixes, before);
    let mut sizes = vec![0_usize; count];
    for unit in &units {
        if let Some(size) = unit.layer.and_then(|layer| sizes.get_mut(layer)) {
            *size += unit.members.len();
        }
    }
    // The largest first: what is left then evens out what they leave uneven.
    units.sort_by(|a, b| {
        b.members
            .len()
            .cmp(&a.members.len())
            .then(a.rank.cmp(&b.rank))
    });
    for unit in units.iter_mut().filter(|unit| unit.layer.is_none()) {
        let emptiest = sizes
            .iter()
            .enumerate()
            .min_by_key(|(layer, size)| (**size, tie(unit, *layer)));
        let layer = emptiest.map_or(0, |(layer, _)| layer);
        unit.layer = Some(layer);
        if let Some(size) = sizes.get_mut(layer) {
            *size += unit.members.len();
        }
    }
    balance(&mut units, &mut sizes);
    let mut assigned = BTreeMap::new();
    for unit in units {
        let layer = u8::try_from(unit.layer.unwrap_or(0) + 1).unwrap_or(layers);
        assigned.extend(unit.members.into_iter().map(|id| (id, layer)));
    }
    assigned
}

fn units(
    network: &NetworkHash,
    epoch: Epoch,
    count: usize,
    mixes: &BTreeMap<NodeId, String>,
    before: impl Fn(&NodeId) -> Option<u8>,
) -> Vec<Unit> {
    let mut families: BTreeMap<Family<'_>, Vec<NodeId>> = BTreeMap::new();
    for (id, family) in mixes {
        let family = Family::of(*id, family);
        families.entry(family).or_default().push(*id);
    }
    let unit = |(Family { name, alone }, members): (Family<'_>, Vec<NodeId>)| {
        let rank = Canonical::new("shoal layer 1")
            .bytes(network.as_bytes())
            .number(epoch.number())
            .bytes(name.as_bytes())
            .bytes(alone.as_ref().map_or(&[], |id| id.as_bytes().as_slice()))
            .finish();
        let mut unit = Unit {
            members,
            rank,
            layer: None,
        };
        let mut votes = vec![0_usize; count];
        for layer in unit.members.iter().filter_map(&before) {
            if let Some(vote) = usize::from(layer)
                .checked_sub(1)
                .and_then(|l| votes.get_mut(l))
            {
                *vote += 1;
            }
        }
        let most = votes
            .iter()
            .enumerate()
            .max_by_key(|(layer, n)| (**n, tie(&unit, *layer)));
        unit.layer = most
            .filter(|(_, votes)| **votes > 0)
            .map(|(layer, _)| layer);
        unit
    };
    families.into_iter().map(unit).collect()
}

/// Different for each unit and layer, the same for everybody.
fn tie(unit: &Unit, layer: usize) -> [u8; 32] {
    Canonical::new("shoal layer tie 1")
        .bytes(&unit.rank)
        .number(u64::try_from(layer).unwrap_or(u64::MAX))
        .finish()
}

/// Moves the unit whose move evens out most, until none does. Each move makes the sum of the
/// squares of the sizes smaller, so this ends.
fn balance(units: &mut [Unit], sizes: &mut [usize]) {
    loop {
        let mut best: Option<(usize, &mut Unit, usize)> = None;
        for unit in units.iter_mut() {
            let weight = unit.members.len();
            let Some(from) = unit.layer else { continue };
            let Some(have) = sizes.get(from).copied() else {
                continue;
            };
            for (to, size) in sizes.iter().enumerate() {
                let difference = have.saturating_sub(*size);
                // Half of what the sum of squares loses.
                let gain = weight * difference.saturating_sub(weight);
                if gain > best.as_ref().map_or(0, |(gain, ..)| *gain) {
                    best = Some((gain, unit, to));
                    break;
                }
            }
        }
        let Some((_, unit, to)) = best else { return };
        if let Some(size) = unit.layer.and_then(|from| sizes.get_mut(from)) {
            *size -= unit.members.len();
        }
        unit.layer = Some(to);
        if let Some(size) = sizes.get_mut(to) {
            *size += unit.members.len();
        }
    }
}
