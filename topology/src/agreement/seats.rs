//! Who sits: the members that vote in a term.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use shoal_proto::{NetworkHash, NodeId};
use thiserror::Error;

use super::seed::Seed;
use super::vrf::VrfPublic;
use crate::canonical::Canonical;
use crate::identity::usable;

/// Most seats of a term.
pub const MAX_SEATS: usize = 400;

/// One seat of a term, by its place among the members that sit, in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat(pub(super) u16);

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.0)
    }
}

/// Why members make no committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SeatsError {
    /// None, or more than [`MAX_SEATS`].
    #[error("a term has 1 to {MAX_SEATS} seats, not {0}")]
    Number(usize),
    /// A key that no signature, or no proof, can be verified with.
    #[error("a seat's key is not a sound key")]
    Key,
    /// Not in the order of their identities, or one of them twice.
    #[error("the seats are not in the order of their identities")]
    Order,
}

/// Who has a seat, and the keys that it has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its identity.
    pub id: NodeId,
    /// The Ed25519 key that signs its votes, for one term; in the first term that of the identity.
    pub key: NodeId,
    /// What its proofs are checked with. Without it nothing that it proposes counts.
    pub vrf: Option<VrfPublic>,
}

impl Holder {
    pub(crate) fn encode(&self) -> [u8; 96] {
        let vrf = self.vrf.map_or([0; 32], |vrf| *vrf.as_bytes());
        let mut row = [0; 96];
        let parts = [self.id.as_bytes(), self.key.as_bytes(), &vrf];
        for (place, part) in row.as_chunks_mut::<32>().0.iter_mut().zip(parts) {
            *place = *part;
        }
        row
    }
}

/// The members that sit in a term of one network, each with one vote. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seats {
    pub(super) network: NetworkHash,
    holders: Arc<[Holder]>,
    hash: [u8; 32],
}

impl Seats {
    /// These members, each once.
    ///
    /// # Errors
    /// [`SeatsError`].
    pub fn new(
        network: NetworkHash,
        holders: impl IntoIterator<Item = Holder>,
    ) -> Result<Self, SeatsError> {
        let mut holders = Vec::from_iter(holders);
        holders.sort_unstable();
        holders.dedup_by_key(|holder| holder.id);
        if holders.is_empty() || holders.len() > MAX_SEATS {
            return Err(SeatsError::Number(holders.len()));
        }
        if !holders.iter().all(|holder| usable(&holder.key)) {
            return Err(SeatsError::Key);
        }
        Ok(Self::of_holders(network, holders.into()))
    }

    /// The hash is of all of them: it is computed once.
    fn of_holders(network: NetworkHash, holders: Arc<[Holder]>) -> Self {
        let rows = holders.iter().map(Holder::encode).collect::<Vec<_>>();
        let hash = Canonical::new("shoal seats 1")
            .bytes(network.as_bytes())
            .bytes(&rows.concat())
            .finish();
        Self {
            network,
            holders,
            hash,
        }
    }

    /// Those of the first term: who the network starts with, each with the key of its identity, which is
    /// all that is known of it. Of more than [`MAX_SEATS`] so many are drawn by the first seed.
    ///
    /// # Errors
    /// [`SeatsError`].
    pub fn first(
        network: NetworkHash,
        members: impl IntoIterator<Item = NodeId>,
    ) -> Result<Self, SeatsError> {
        let holder = |id| Holder {
            id,
            key: id,
            vrf: None,
        };
        let members = members.into_iter().map(holder);
        Self::draw(network, members, &Seed::first(&network))
    }

    /// The same seats with the keys for proofs that are known now.
    #[must_use]
    pub fn with_proofs(&self, vrf: impl Fn(&NodeId) -> Option<VrfPublic>) -> Self {
        let holder = |holder: &Holder| Holder {
            vrf: vrf(&holder.id),
            ..*holder
        };
        Self::of_holders(self.network, self.holders.iter().map(holder).collect())
    }

    /// Those of a term: all members up to [`MAX_SEATS`], otherwise so many, each as likely as the others.
    /// Who is eligible has to be fixed before the seed can be known. The result does not depend on the
    /// order of the members.
    ///
    /// # Errors
    /// [`SeatsError`]: there is no member, or one that sits has a key that can't be.
    pub fn draw(
        network: NetworkHash,
        eligible: impl IntoIterator<Item = Holder>,
        seed: &Seed,
    ) -> Result<Self, SeatsError> {
        Self::new(network, drawn(eligible, seed))
    }

    /// By seat: identity 32, key 32, key for proofs 32, zeros for none.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rows = self.holders.iter().map(Holder::encode);
        rows.collect::<Vec<_>>().concat()
    }

    /// Reads an encoding, of which each seats have one.
    ///
    /// # Errors
    /// [`SeatsError`].
    pub fn decode(network: NetworkHash, bytes: &[u8]) -> Result<Self, SeatsError> {
        let (rows, rest) = bytes.as_chunks::<32>();
        let (rows, left) = rows.as_chunks::<3>();
        if !rest.is_empty() || !left.is_empty() || rows.len() > MAX_SEATS {
            return Err(SeatsError::Number(rows.len()));
        }
        let holder = |[id, key, vrf]: &[[u8; 32]; 3]| {
            let known = VrfPublic::from_bytes(vrf);
            let sound = known.is_some() || *vrf == [0; 32];
            sound.then_some(Holder {
                id: NodeId::new(*id),
                key: NodeId::new(*key),
                vrf: known,
            })
        };
        let holders = rows.iter().map(holder).collect::<Option<Vec<_>>>();
        let holders = holders.ok_or(SeatsError::Key)?;
        if !holders.is_sorted_by(|one, next| one.id < next.id) {
            return Err(SeatsError::Order);
        }
        Self::new(network, holders)
    }

    /// Names these seats in a document.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The network that they are of.
    #[must_use]
    pub const fn network(&self) -> NetworkHash {
        self.network
    }

    /// How many there are: 1 to [`MAX_SEATS`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.holders.len()
    }

    /// The seat of a member, if it has one.
    #[must_use]
    pub fn of(&self, member: &NodeId) -> Option<Seat> {
        let place = self
            .holders
            .binary_search_by_key(member, |holder| holder.id);
        let place = place.ok()?;
        u16::try_from(place).ok().map(Seat)
    }

    /// Who has a seat; none beyond the last.
    #[must_use]
    pub fn holder(&self, seat: Seat) -> Option<&Holder> {
        self.holders.get(usize::from(seat.0))
    }

    /// All seats.
    pub fn all(&self) -> impl Iterator<Item = Seat> + use<> {
        (0..).take(self.count()).map(Seat)
    }

    /// More than two thirds: so many decide. Two such have an honest seat in common while fewer than a
    /// third are not.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.count() * 2 / 3 + 1
    }

    /// More than a third: so many have an honest seat among them.
    #[must_use]
    pub fn third(&self) -> usize {
        self.count() / 3 + 1
    }

    /// The order in which seats propose, drawn by the last seed: each once, so that no seat proposes
    /// twice while another has not.
    #[must_use]
    pub fn proposers(&self, seed: &Seed) -> Vec<Seat> {
        let ranked = self.all().zip(self.holders.iter());
        let ranked =
            ranked.map(|(seat, holder)| (seed.rank("proposer", holder.id.as_bytes()), seat));
        let ranked = BTreeSet::from_iter(ranked);
        ranked.into_iter().map(|(_, seat)| seat).collect()
    }
}

fn drawn(eligible: impl IntoIterator<Item = Holder>, seed: &Seed) -> Vec<Holder> {
    let rank = |holder: Holder| (seed.rank("seat", holder.id.as_bytes()), holder);
    let mut ranked = Vec::from_iter(eligible.into_iter().map(rank));
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(MAX_SEATS);
    ranked.into_iter().map(|(_, holder)| holder).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::Identity;

    /// So many seats, and their identities in the order of the seats.
    pub(in super::super) fn seats(count: u64) -> (Seats, Vec<Identity>) {
        let mut identities: Vec<Identity> = (0..count)
            .map(|seed| Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed)))
            .collect();
        identities.sort_by_key(Identity::id);
        let ids = identities.iter().map(Identity::id);
        let seats = Seats::first(NetworkHash::new([1; 32]), ids).expect("sound");
        (seats, identities)
    }

    #[test]
    fn two_quorums_have_an_honest_seat_in_common_and_a_third_has_one() {
        for count in 1..=40 {
            let (seats, _) = seats(count);
            let count = usize::try_from(count).expect("few");
            let bad = (count - 1) / 3;
            assert!(2 * seats.quorum() - count > bad, "{count}");
            assert!(seats.third() > bad && seats.third() <= count, "{count}");
            assert!(
                count - bad >= seats.quorum(),
                "the honest alone decide: {count}"
            );
        }
    }

    fn seed(number: u32) -> Seed {
        let [a, b, c, d] = number.to_le_bytes();
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&[a, b, c, d]);
        Seed::new(bytes)
    }

    fn holder(id: NodeId) -> Holder {
        Holder {
            id,
            key: id,
            vrf: None,
        }
    }

    fn members(count: u16) -> Vec<Holder> {
        let id = |number: u16| NodeId::new([number.to_be_bytes(); 16].concat().try_into().unwrap());
        (0..count).map(id).map(holder).collect()
    }

    /// Pearson's, for counts that each are binomial with this mean and variance and add up to the same
    /// always: it is then that of chi-square with one degree of freedom less than there are counts, whose
    /// mean is that number and whose variance is twice it. Four standard deviations, both ways: what is
    /// too even is not drawn either.
    fn assert_as_if_drawn(counts: &[u32], mean: f64, variance: f64) {
        let cells = f64::from(u32::try_from(counts.len()).unwrap());
        let squares = counts.iter().map(|n| (f64::from(*n) - mean).powi(2));
        let statistic = squares.sum::<f64>() / variance * (cells - 1.0) / cells;
        let expected = cells - 1.0;
        let tolerance = 4.0 * (2.0 * expected).sqrt();
        assert!(
            (statistic - expected).abs() < tolerance,
            "{statistic}, not {expected}"
        );
    }

    #[test]
    fn each_proposes_once_and_another_seed_gives_another_order() {
        let (seats, _) = seats(30);
        let order = seats.proposers(&seed(1));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(seats.all()));
        assert_ne!(order, seats.proposers(&seed(2)));
        assert_eq!(order, seats.proposers(&seed(1)));
    }

    #[test]
    fn each_seat_is_first_and_third_equally_often() {
        const DRAWS: u32 = 3_000;
        let (seats, _) = seats(30);
        for place in [0, 2] {
            let mut counts = [0; 30];
            for number in 0..DRAWS {
                counts[usize::from(seats.proposers(&seed(number))[place].0)] += 1;
            }
            let (mean, share) = (f64::from(DRAWS) / 30.0, 1.0 / 30.0);
            assert_as_if_drawn(&counts, mean, mean * (1.0 - share));
        }
    }

    #[test]
    fn all_sit_while_there_are_seats_for_all() {
        for count in [1, 9, 399, 400] {
            let members = members(count);
            let mut sitting = drawn(members.iter().rev().copied(), &seed(1));
            sitting.sort_unstable();
            assert_eq!(sitting, members);
        }
        assert_eq!(drawn(members(401), &seed(1)).len(), MAX_SEATS);
        assert_eq!(drawn(members(10_000), &seed(1)).len(), MAX_SEATS);
    }

    #[test]
    fn a_draw_depends_on_who_is_eligible_and_on_nothing_else() {
        let id = |seed| Identity::generate(&mut ChaCha20Rng::seed_from_u64(seed)).id();
        let ids = Vec::from_iter((0..410).map(id));
        let network = NetworkHash::new([1; 32]);
        let draw = |ids: &[NodeId], by| {
            Seats::draw(network, ids.iter().copied().map(holder), &seed(by)).unwrap()
        };
        let sitting = draw(&ids, 1);
        assert_eq!(sitting.count(), MAX_SEATS);
        let backwards = Vec::from_iter(ids.iter().rev().chain(&ids[..20]).copied());
        assert_eq!(
            draw(&backwards, 1),
            sitting,
            "in another order, and some twice"
        );
        assert_ne!(draw(&ids, 2), sitting);
        // Who leaves without a seat changes nothing; who has one gives it to one other.
        let (with, without): (Vec<NodeId>, Vec<NodeId>) =
            ids.iter().partition(|id| sitting.of(id).is_some());
        assert_eq!(draw(&[&with[..], &without[1..]].concat(), 1), sitting);
        let fewer = draw(&[&with[1..], &without[..]].concat(), 1);
        assert_eq!(
            with[1..].iter().filter(|id| fewer.of(id).is_some()).count(),
            399
        );
        assert_eq!(
            Seats::draw(network, [], &seed(1)),
            Err(SeatsError::Number(0))
        );
    }

    #[test]
    fn each_member_sits_equally_often_and_no_two_together_more_often() {
        const DRAWS: u32 = 2_000;
        let members = members(500);
        let mut alone = [0; 500];
        let mut together = [0; 250];
        let mut bad = Vec::new();
        for number in 0..DRAWS {
            let sitting = BTreeSet::from_iter(drawn(members.iter().copied(), &seed(number)));
            let sits = Vec::from_iter(members.iter().map(|member| sitting.contains(member)));
            for (count, sits) in alone.iter_mut().zip(&sits) {
                *count += u32::from(*sits);
            }
            for (count, pair) in together.iter_mut().zip(sits.chunks(2)) {
                *count += u32::from(pair == [true, true]);
            }
            bad.push(f64::from(
                u32::try_from(sits[..100].iter().filter(|sits| **sits).count()).unwrap(),
            ));
        }
        let draws = f64::from(DRAWS);
        assert_as_if_drawn(&alone, draws * 0.8, draws * 0.8 * 0.2);
        let both = 0.8 * 399.0 / 499.0;
        assert_as_if_drawn(&together, draws * both, draws * both * (1.0 - both));
        // Of a hundred who belong together so many sit as the hypergeometric distribution says: 80, with
        // a variance of 12.8, which the sample's is within an eighth of (four standard deviations).
        let mean = bad.iter().sum::<f64>() / draws;
        let variance = bad.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / (draws - 1.0);
        let expected = 100.0 * 0.8 * 0.2 * 400.0 / 499.0;
        assert!(
            (mean - 80.0).abs() < 4.0 * (expected / draws).sqrt(),
            "{mean}"
        );
        assert!((variance / expected - 1.0).abs() < 0.125, "{variance}");
    }

    #[test]
    fn senseless_committees_are_refused() {
        let network = NetworkHash::new([1; 32]);
        assert_eq!(Seats::first(network, []), Err(SeatsError::Number(0)));
        let weak = Seats::first(network, [NodeId::new([0; 32])]);
        assert_eq!(weak, Err(SeatsError::Key));
        let (seats, identities) = seats(3);
        assert_eq!(seats.of(&identities[1].id()), Some(Seat(1)));
        assert_eq!(seats.of(&NodeId::new([9; 32])), None);
        assert_eq!(seats.holder(Seat(3)), None);
    }

    #[test]
    fn seats_have_one_encoding() {
        let (seats, _) = seats(3);
        let vrf = crate::agreement::VrfKey::from_bytes(&[1; 32]).public();
        let some = seats
            .all()
            .nth(1)
            .and_then(|seat| seats.holder(seat))
            .unwrap()
            .id;
        let known = seats.with_proofs(|id| (*id == some).then_some(vrf));
        assert_ne!(known.hash(), seats.hash());
        let bytes = known.encode();
        assert_eq!(Seats::decode(known.network, &bytes), Ok(known.clone()));
        let decode = |bytes: &[u8]| Seats::decode(known.network, bytes).unwrap_err();
        assert_eq!(decode(&bytes[1..]), SeatsError::Number(2));
        assert_eq!(decode(&[]), SeatsError::Number(0));
        let swapped = [&bytes[96..192], &bytes[..96], &bytes[192..]].concat();
        assert_eq!(decode(&swapped), SeatsError::Order);
        let twice = [&bytes[..96], &bytes[..96]].concat();
        assert_eq!(decode(&twice), SeatsError::Order);
        let mut weak = bytes.clone();
        weak[64] = 1;
        assert_eq!(decode(&weak), SeatsError::Key);
    }
}
