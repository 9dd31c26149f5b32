//! Who sits: the members that vote in a term.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use shoal_proto::{NetworkHash, NodeId};
use thiserror::Error;

use super::seed::Seed;
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
    /// A key that no signature can be verified with.
    #[error("a seat's key is not a sound Ed25519 key")]
    Key,
}

/// The members that sit in a term of one network, each with one vote. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seats {
    pub(super) network: NetworkHash,
    members: Arc<[NodeId]>,
}

impl Seats {
    /// These members, each once.
    ///
    /// # Errors
    /// [`SeatsError`].
    pub fn new(
        network: NetworkHash,
        members: impl IntoIterator<Item = NodeId>,
    ) -> Result<Self, SeatsError> {
        let mut members = Vec::from_iter(members);
        members.sort_unstable();
        members.dedup();
        if members.is_empty() || members.len() > MAX_SEATS {
            return Err(SeatsError::Number(members.len()));
        }
        if !members.iter().all(usable) {
            return Err(SeatsError::Key);
        }
        let members = members.into();
        Ok(Self { network, members })
    }

    /// Those of a term: all members up to [`MAX_SEATS`], otherwise so many, each as likely as the others.
    /// Who is eligible has to be fixed before the seed can be known. The result does not depend on the
    /// order of the members.
    ///
    /// # Errors
    /// [`SeatsError`]: there is no member, or one that sits has a key that can't be.
    pub fn draw(
        network: NetworkHash,
        eligible: impl IntoIterator<Item = NodeId>,
        seed: &Seed,
    ) -> Result<Self, SeatsError> {
        Self::new(network, drawn(eligible, seed))
    }

    /// How many there are: 1 to [`MAX_SEATS`].
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The seat of a member, if it has one.
    #[must_use]
    pub fn of(&self, member: &NodeId) -> Option<Seat> {
        let place = self.members.binary_search(member).ok()?;
        u16::try_from(place).ok().map(Seat)
    }

    /// Who has a seat; none beyond the last.
    #[must_use]
    pub fn member(&self, seat: Seat) -> Option<&NodeId> {
        self.members.get(usize::from(seat.0))
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
        let ranked = self.all().zip(self.members.iter());
        let ranked = ranked.map(|(seat, member)| (seed.rank("proposer", member.as_bytes()), seat));
        let ranked = BTreeSet::from_iter(ranked);
        ranked.into_iter().map(|(_, seat)| seat).collect()
    }
}

fn drawn(eligible: impl IntoIterator<Item = NodeId>, seed: &Seed) -> Vec<NodeId> {
    let rank = |member: NodeId| (seed.rank("seat", member.as_bytes()), member);
    let mut ranked = Vec::from_iter(eligible.into_iter().map(rank));
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(MAX_SEATS);
    ranked.into_iter().map(|(_, member)| member).collect()
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
        let seats = Seats::new(NetworkHash::new([1; 32]), ids).expect("sound");
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

    fn members(count: u16) -> Vec<NodeId> {
        let id = |number: u16| NodeId::new([number.to_be_bytes(); 16].concat().try_into().unwrap());
        (0..count).map(id).collect()
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
        let draw =
            |ids: &[NodeId], by| Seats::draw(network, ids.iter().copied(), &seed(by)).unwrap();
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
        assert_eq!(Seats::new(network, []), Err(SeatsError::Number(0)));
        let weak = Seats::new(network, [NodeId::new([0; 32])]);
        assert_eq!(weak, Err(SeatsError::Key));
        let (seats, identities) = seats(3);
        assert_eq!(seats.of(&identities[1].id()), Some(Seat(1)));
        assert_eq!(seats.of(&NodeId::new([9; 32])), None);
        assert_eq!(seats.member(Seat(3)), None);
    }
}
