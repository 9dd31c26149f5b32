//! Who stands where: with the providers or in which layer, the same everywhere, sticky and balanced,
//! and no two that are tied to each other (see [`Ties`]) in different positions.
//!
//! Nodes are taken one by one, those that stood before first, so that who comes never takes the place of
//! who stands: a newcomer that is tied to members of two positions is itself the one that is left out.
//! Who is left out leaves no trace, so the document that its members make is the document that all made.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::{Epoch, NetworkHash, NodeId};

use crate::canonical::Canonical;
use crate::ties::{Tie, TieKind, Ties};
use crate::{DocumentError, Role};

/// A node that wants a place.
pub(crate) struct Candidate {
    pub(crate) id: NodeId,
    pub(crate) role: Role,
    pub(crate) ties: Ties,
    /// Whether the network starts with it.
    pub(crate) genesis: bool,
    /// Where it stood before with the same role, 0 with the providers, and its ties then.
    pub(crate) before: Option<(u8, Ties)>,
}

/// Who stands where.
pub(crate) struct Positions {
    /// 1 and on for mixes, 0 for providers. Who is not here is left out.
    pub(crate) of: BTreeMap<NodeId, u8>,
    /// Who was left out.
    pub(crate) left_out: Vec<NodeId>,
    /// How many groups of mixes there are that are tied together.
    groups: usize,
    /// How many mixes and providers wanted a place.
    wanted: (usize, usize),
}

impl Positions {
    /// Whether nobody is missing: neither with the providers nor in one of so many layers.
    ///
    /// # Errors
    /// When a position is empty, because nodes are tied together or because there are too few.
    pub(crate) fn check_filled(&self, layers: u8) -> Result<(), DocumentError> {
        let filled: BTreeSet<u8> = self.of.values().copied().collect();
        let Some(position) = (0..=layers).find(|position| !filled.contains(position)) else {
            return Ok(());
        };
        let (mixes, providers) = self.wanted;
        if providers == 0 || mixes < usize::from(layers) {
            return Err(DocumentError::empty(position));
        }
        Err(DocumentError::TiedTogether {
            position,
            mixes,
            groups: self.groups,
            left_out: self.left_out.len(),
        })
    }
}

/// Members that stand in one position: tied to each other, or one alone.
struct Unit {
    role: Role,
    members: Vec<NodeId>,
    ties: Ties,
    /// Decides between equals; depends on nothing but the network, the epoch and the members.
    rank: [u8; 32],
    /// The layer of mixes, from 0; none for those of which nobody stood in one.
    layer: Option<usize>,
}

/// Gives each node a place, or none. The result depends only on the set of candidates: never on the
/// order of arrival, and not on those that are left out.
///
/// Who stood somewhere stays there; newcomers that are tied to nobody go where the fewest are; then
/// units move from full layers to emptier ones for as long as a move makes the sizes more equal.
pub(crate) fn assign(
    network: &NetworkHash,
    epoch: Epoch,
    layers: u8,
    candidates: Vec<Candidate>,
) -> Positions {
    let mixes = candidates
        .iter()
        .filter(|one| one.role == Role::Mix)
        .count();
    let wanted = (mixes, candidates.len() - mixes);
    let mut hall = Hall {
        units: Vec::new(),
        by_tie: BTreeMap::new(),
        sizes: vec![0; usize::from(layers.max(1))],
    };
    let rank = |id: &NodeId| {
        Canonical::new("shoal layer 2")
            .bytes(network.as_bytes())
            .number(epoch.number())
            .bytes(id.as_bytes())
            .finish()
    };
    let mut queue: Vec<(Turn, [u8; 32], Candidate)> = candidates
        .into_iter()
        .map(|candidate| (Turn::of(&candidate), rank(&candidate.id), candidate))
        .collect();
    queue.sort_unstable_by_key(|(turn, rank, _)| (*turn, *rank));
    let left_out = queue
        .into_iter()
        .filter_map(|(_, rank, candidate)| hall.admit(candidate, rank).err())
        .collect();
    let (mut units, mut sizes) = (hall.units, hall.sizes);
    units.retain(|unit| !unit.members.is_empty());
    let (providers, mut mixes): (Vec<Unit>, Vec<Unit>) = units
        .into_iter()
        .partition(|unit| unit.role == Role::Provider);
    spread(&mut mixes, &mut sizes);
    balance(&mut mixes, &mut sizes);
    let groups = mixes.len();
    let mut of = BTreeMap::new();
    for unit in providers {
        of.extend(unit.members.into_iter().map(|id| (id, 0)));
    }
    for unit in mixes {
        let layer = u8::try_from(unit.layer.unwrap_or(0) + 1).unwrap_or(layers);
        of.extend(unit.members.into_iter().map(|id| (id, layer)));
    }
    Positions {
        of,
        left_out,
        groups,
        wanted,
    }
}

/// The order in which nodes are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    standing: Standing,
    /// Those that the network starts with come first: no stranger keeps one of them out.
    stranger: bool,
    /// Providers come first: what they keep for people is lost with them, and one mix is as good as
    /// another.
    mix: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It stood there, with every tie that it has now.
    Stays,
    /// It stood there, and is tied to others now.
    Changed,
    /// It is new, or has another role than before.
    Newcomer,
}

impl Turn {
    fn of(candidate: &Candidate) -> Self {
        let standing = match &candidate.before {
            Some((_, ties)) if candidate.ties.are_within(ties) => Standing::Stays,
            Some(_) => Standing::Changed,
            None => Standing::Newcomer,
        };
        Self {
            standing,
            stranger: !candidate.genesis,
            mix: candidate.role == Role::Mix,
        }
    }
}

/// Those that have been taken so far.
struct Hall {
    /// Those that were joined to others are empty.
    units: Vec<Unit>,
    by_tie: BTreeMap<Tie, usize>,
    /// Mixes in each layer, of units that have one.
    sizes: Vec<usize>,
}

impl Hall {
    /// Takes a node, and joins what it ties together; or gives it back, and nothing has changed.
    fn admit(&mut self, candidate: Candidate, rank: [u8; 32]) -> Result<(), NodeId> {
        let ties = candidate.ties.iter();
        let touched: BTreeSet<usize> = ties
            .filter_map(|tie| self.by_tie.get(tie).copied())
            .collect();
        let layer = self
            .place(&candidate, &touched)
            .map_err(|()| candidate.id)?;
        let mut unit = Unit {
            role: candidate.role,
            members: vec![candidate.id],
            ties: candidate.ties,
            rank,
            layer,
        };
        for index in touched {
            let Some(other) = self.units.get_mut(index) else {
                continue;
            };
            let members = std::mem::take(&mut other.members);
            if let Some(size) = other.layer.and_then(|layer| self.sizes.get_mut(layer)) {
                *size -= members.len();
            }
            unit.rank = unit.rank.min(other.rank);
            unit.members.extend(members);
            unit.ties.extend(&std::mem::take(&mut other.ties));
        }
        if let Some(size) = layer.and_then(|layer| self.sizes.get_mut(layer)) {
            *size += unit.members.len();
        }
        let index = self.units.len();
        self.by_tie
            .extend(unit.ties.iter().map(|tie| (*tie, index)));
        self.units.push(unit);
        Ok(())
    }

    /// The layer of the unit that a node makes with those that it touches; none if that is open still,
    /// and for providers.
    fn place(&self, candidate: &Candidate, touched: &BTreeSet<usize>) -> Result<Option<usize>, ()> {
        let units = || touched.iter().filter_map(|index| self.units.get(*index));
        if units().any(|unit| unit.role != candidate.role) {
            return Err(());
        }
        if candidate.role == Role::Provider {
            return Ok(None);
        }
        let before = candidate.before.as_ref();
        let before = before.and_then(|(layer, _)| usize::from(*layer).checked_sub(1));
        let before = before.filter(|layer| *layer < self.sizes.len());
        let layers: BTreeSet<usize> = units().filter_map(|unit| unit.layer).collect();
        let mut layers = layers.into_iter();
        let Some(layer) = layers.next() else {
            return Ok(before);
        };
        if layers.next().is_some() {
            return Err(());
        }
        let by_family = units()
            .filter(|unit| unit.layer.is_some())
            .any(|unit| candidate.ties.meet(&unit.ties) == Some(TieKind::Family));
        let open = units().filter(|unit| unit.layer.is_none());
        let more = 1 + open.map(|unit| unit.members.len()).sum::<usize>();
        // Who takes an address beside others, which nobody can keep him from, waits until there is room:
        // else balance would move those who stand. Within a family, its operator wants it so.
        if before == Some(layer) || by_family || self.has_room(layer, more) {
            Ok(Some(layer))
        } else {
            Err(())
        }
    }

    /// Whether with so many more a layer has one mix more than the emptiest at most.
    fn has_room(&self, layer: usize, more: usize) -> bool {
        let emptiest = self.sizes.iter().copied().min().unwrap_or(0);
        self.sizes
            .get(layer)
            .is_some_and(|size| size + more <= emptiest + 1)
    }
}

/// Puts units without a layer where the fewest are.
fn spread(units: &mut [Unit], sizes: &mut [usize]) {
    // The largest first: what is left then evens out what they leave uneven.
    units.sort_by_key(|unit| (std::cmp::Reverse(unit.members.len()), unit.rank));
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
