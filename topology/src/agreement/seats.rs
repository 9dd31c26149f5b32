//! Who sits: the members that vote in a term.

use std::fmt;
use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use shoal_proto::{NetworkHash, NodeId};
use thiserror::Error;

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

    /// The order in which seats propose, drawn by a seed that nobody could choose: each once, so that
    /// no seat proposes twice while another has not.
    #[must_use]
    pub fn proposers(&self, seed: &[u8; 32]) -> Vec<Seat> {
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let mut order = Vec::from_iter(self.all());
        // Fisher and Yates.
        for last in (1..order.len()).rev() {
            order.swap(last, rng.random_range(0..=last));
        }
        order
    }
}

#[cfg(test)]
pub(super) mod tests {
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

    #[test]
    fn each_proposes_once_and_another_seed_gives_another_order() {
        let (seats, _) = seats(30);
        let order = seats.proposers(&[1; 32]);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(seats.all()));
        assert_ne!(order, seats.proposers(&[2; 32]));
        assert_eq!(order, seats.proposers(&[1; 32]));
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
