//! Who watches whom: thirty of the members that stand beside a member look whether it can be reached.

use std::collections::BTreeMap;

use shoal_proto::NodeId;

use crate::{Document, Member};

/// How many watch a member, or a node that waits for a place; all that could where there are fewer.
pub const WATCHERS: usize = 30;

/// The members of a document in the orders in which they watch. Who could watch a member stands in a ring, in an
/// order drawn by the document's seed, and those watch it that follow a place drawn for it. Nobody could know
/// either before the document's seed was known, and each could be any of them with the same chance.
///
/// One ring is of those beside a position: the layers before and after it. Another is of all that have a position: they
/// watch who has none yet.
pub(crate) struct Watchers {
    /// By position; the last is of all.
    rings: Vec<Vec<NodeId>>,
    /// By position, where each stands in its ring.
    places: Vec<BTreeMap<NodeId, usize>>,
}

impl Watchers {
    pub(crate) fn of(document: &Document) -> Self {
        let rank = |id: &NodeId| document.seed().rank("watcher", id.as_bytes());
        let ring = |ids: Vec<NodeId>| {
            let ranked: BTreeMap<_, _> = ids.into_iter().map(|id| (rank(&id), id)).collect();
            ranked.into_values().collect::<Vec<_>>()
        };
        let placed = |member: &&Member| member.position().is_some();
        let all = document.members().filter(placed).map(|member| member.id);
        let mut rings: Vec<_> = document.beside().map(ring).collect();
        rings.push(ring(all.collect()));
        let places = rings.iter().map(|ring| {
            let places = ring.iter().enumerate();
            places.map(|(place, id)| (*id, place)).collect()
        });
        Self {
            places: places.collect(),
            rings,
        }
    }

    /// The number of the ring whose members watch a node.
    fn ring(&self, document: &Document, id: &NodeId) -> usize {
        let position = document.member(id).and_then(Member::position);
        let all = self.rings.len().saturating_sub(1);
        position.map_or(all, |position| usize::from(position).min(all))
    }

    fn first(document: &Document, id: &NodeId, count: usize) -> usize {
        let [a, b, c, d, e, f, g, h, ..] = document.seed().rank("watched", id.as_bytes());
        let drawn = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let count = u64::try_from(count.max(1)).unwrap_or(u64::MAX);
        usize::try_from(drawn % count).unwrap_or(0)
    }

    /// Who watches a node: a member, or one that is none yet. At most [`WATCHERS`], never the node itself, which
    /// stands in no ring of those that watch it.
    pub(crate) fn watch<'a>(
        &'a self,
        document: &Document,
        id: &NodeId,
    ) -> impl Iterator<Item = &'a NodeId> + use<'a> {
        let ring = self.rings.get(self.ring(document, id));
        let ring = ring.map_or(&[][..], Vec::as_slice);
        let first = Self::first(document, id, ring.len());
        let (before, after) = ring.split_at(first.min(ring.len()));
        after.iter().chain(before).take(WATCHERS)
    }

    /// Whether one node watches another.
    pub(crate) fn watches(&self, document: &Document, watcher: &NodeId, id: &NodeId) -> bool {
        let number = self.ring(document, id);
        let places = self.places.get(number).zip(self.rings.get(number));
        let place = places.and_then(|(places, ring)| Some((*places.get(watcher)?, ring.len())));
        place.is_some_and(|(place, count)| {
            let first = Self::first(document, id, count);
            (place + count - first) % count < WATCHERS
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::Epoch;

    use super::*;
    use crate::NetworkParameters;
    use crate::sample::Network;

    fn document(width: u8, epoch: u64) -> std::sync::Arc<Document> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let params = NetworkParameters::example();
        let mut network = Network::new(&mut rng, params, width, width);
        network.document(&mut rng, Epoch::new(epoch), None).unwrap()
    }

    #[test]
    fn all_beside_a_member_watch_it_where_they_are_few() {
        let document = document(3, 4);
        let watchers = Watchers::of(&document);
        for member in document.members() {
            let id = &member.id;
            let watch: BTreeSet<_> = watchers.watch(&document, id).copied().collect();
            let beside = document.before(id).iter().chain(document.after(id));
            assert_eq!(watch, beside.copied().collect());
            for other in document.members() {
                let watches = watchers.watches(&document, &other.id, id);
                assert_eq!(watches, watch.contains(&other.id));
            }
        }
        let stranger = NodeId::new([7; 32]);
        assert_eq!(watchers.watch(&document, &stranger).count(), 12);
    }

    #[test]
    fn thirty_watch_where_there_are_more_and_others_by_another_seed() {
        let document = document(20, 4);
        let watchers = Watchers::of(&document);
        let mut by: BTreeMap<NodeId, usize> = BTreeMap::new();
        let stranger = NodeId::new([7; 32]);
        let ids = document.members().map(|member| member.id);
        for id in ids.chain([stranger]) {
            let watch: BTreeSet<_> = watchers.watch(&document, &id).copied().collect();
            assert_eq!(watch.len(), WATCHERS);
            for other in document.members() {
                let watches = watchers.watches(&document, &other.id, &id);
                assert_eq!(watches, watch.contains(&other.id));
                *by.entry(other.id).or_default() += usize::from(watches);
            }
        }
        // Each watches some thirty too: the widest range of a draw like this is far from none and all.
        assert!(by.values().all(|count| (10..=60).contains(count)), "{by:?}");
        let next = self::document(20, 5);
        let others = Watchers::of(&next);
        let same = |id: &&NodeId| {
            let mut watch = others.watch(&next, id);
            watch.all(|other| watchers.watches(&document, other, id))
        };
        let first = document.mixes(1);
        assert!(!first.iter().all(|id| same(&id)), "nothing was drawn anew");
    }
}
