//! What the seats say of a document within its epoch: which of its members no route leads over, from a slot on.
//!
//! One seat proposes for a slot, and the others sign the same or nothing. There are no rounds: what finds too few
//! signatures in its slot is gone, and the next slot has another proposer.

use std::collections::BTreeSet;

use shoal_proto::{DocumentHash, NodeId};

use super::seats::{MAX_SEATS, Seat, Seats};
use super::vote::{
    MessageError, Reader, SIGNATURE, Signatures, VERSION, check, put_signatures, sign,
};
use crate::{Document, Identity, Slot};

/// A layout of its own among what seats sign.
const AMENDMENT: u8 = 6;
/// For so many slots after it has taken effect an amendment holds, unless another one does sooner.
pub const AMENDMENT_SLOTS: u64 = 60;
/// Most members that are suspended at a time.
pub const MAX_SUSPENDED: usize = 2_048;
/// Bytes around the places of members.
const HEAD: usize = 8 + 32 + 2;
/// Most bytes of an encoded amendment with its certificate.
pub const MAX_AMENDMENT_BYTES: usize =
    32 + HEAD + 2 * MAX_SUSPENDED + 2 + MAX_SEATS * (2 + SIGNATURE);

/// Which members of a document are suspended from a slot on: all of them, whoever was before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amendment {
    /// When it takes effect.
    pub slot: Slot,
    /// The document in force then.
    pub document: DocumentHash,
    /// The members, by their places in the document, ascending.
    places: Vec<u16>,
}

impl Amendment {
    /// That these members are suspended. None if that are too many.
    #[must_use]
    pub fn new(slot: Slot, document: &Document, suspended: &BTreeSet<NodeId>) -> Option<Self> {
        let members = document.members().zip(0_u16..);
        let places = members.filter(|(member, _)| suspended.contains(&member.id));
        let places: Vec<u16> = places.map(|(_, place)| place).collect();
        (places.len() <= MAX_SUSPENDED).then(|| Self {
            slot,
            document: *document.hash(),
            places,
        })
    }

    /// Whom it suspends. None if it is of another document, or names a place that is not there.
    #[must_use]
    pub fn suspended(&self, document: &Document) -> Option<BTreeSet<NodeId>> {
        if *document.hash() != self.document {
            return None;
        }
        let mut places = self.places.iter().copied().peekable();
        let mut suspended = BTreeSet::new();
        for (member, place) in document.members().zip(0_u16..) {
            if places.next_if_eq(&place).is_some() {
                suspended.insert(member.id);
            }
        }
        places.next().is_none().then_some(suspended)
    }

    fn encode_to(&self, bytes: &mut Vec<u8>) {
        let count = u16::try_from(self.places.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&self.slot.number().to_be_bytes());
        bytes.extend_from_slice(self.document.as_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for place in &self.places {
            bytes.extend_from_slice(&place.to_be_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        let slot = Slot::new(u64::from_be_bytes(*reader.take()?));
        let document = DocumentHash::new(*reader.take()?);
        let count = usize::from(u16::from_be_bytes(*reader.take()?));
        if count > MAX_SUSPENDED {
            return Err(MessageError::Field("suspended"));
        }
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            let place = u16::from_be_bytes(*reader.take()?);
            if places.last().is_some_and(|last| *last >= place) {
                return Err(MessageError::Field("suspended"));
            }
            places.push(place);
        }
        Ok(Self {
            slot,
            document,
            places,
        })
    }

    /// What a seat signs of it.
    fn body(&self, seat: Seat) -> Vec<u8> {
        let mut body = vec![VERSION, AMENDMENT];
        self.encode_to(&mut body);
        body.extend_from_slice(&seat.0.to_be_bytes());
        body
    }
}

/// An amendment that one seat signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmendmentVote {
    /// The hash of the seats that decide.
    pub seats: [u8; 32],
    /// What is signed.
    pub amendment: Amendment,
    /// Whose.
    pub seat: Seat,
    signature: [u8; SIGNATURE],
}

impl AmendmentVote {
    /// Signed by a seat with its key.
    #[must_use]
    pub fn sign(seats: &Seats, key: &Identity, amendment: Amendment, seat: Seat) -> Self {
        Self {
            seats: seats.hash(),
            signature: sign(seats, key, &amendment.body(seat)),
            amendment,
            seat,
        }
    }

    /// The encoding: the hash of the seats 32, the amendment, seat 2, signature 64. An amendment is slot 8, document
    /// 32, how many 2, and of each member 2.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.seats.to_vec();
        self.amendment.encode_to(&mut bytes);
        bytes.extend_from_slice(&self.seat.0.to_be_bytes());
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads an encoding, of which each vote has one.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut reader = Reader(bytes);
        let vote = Self {
            seats: *reader.take()?,
            amendment: Amendment::read(&mut reader)?,
            seat: reader.seat()?,
            signature: *reader.take()?,
        };
        reader.end()?;
        Ok(vote)
    }

    /// Whether the seat has signed it.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn verify(&self, seats: &Seats) -> Result<(), MessageError> {
        if self.seats != seats.hash() {
            return Err(MessageError::NoSeat);
        }
        check(
            seats,
            self.seat,
            &self.amendment.body(self.seat),
            &self.signature,
        )
    }
}

/// An amendment that more than two thirds of the seats have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedAmendment {
    seats: [u8; 32],
    amendment: Amendment,
    /// By seat, ascending.
    signatures: Signatures,
}

impl CertifiedAmendment {
    /// Of verified votes, those for the same amendment. None if they are too few.
    #[must_use]
    pub fn of<'a>(
        seats: &Seats,
        amendment: &Amendment,
        votes: impl IntoIterator<Item = &'a AmendmentVote>,
    ) -> Option<Self> {
        let counts =
            |vote: &&AmendmentVote| vote.seats == seats.hash() && vote.amendment == *amendment;
        let votes = votes.into_iter().filter(counts);
        let mut signatures: Vec<_> = votes.map(|vote| (vote.seat, vote.signature)).collect();
        signatures.sort_unstable();
        signatures.dedup_by_key(|(seat, _)| *seat);
        (signatures.len() >= seats.quorum()).then(|| Self {
            seats: seats.hash(),
            amendment: amendment.clone(),
            signatures,
        })
    }

    /// What was signed.
    #[must_use]
    pub const fn amendment(&self) -> &Amendment {
        &self.amendment
    }

    /// The hash of the seats that signed.
    #[must_use]
    pub const fn seats(&self) -> &[u8; 32] {
        &self.seats
    }

    /// The encoding: the hash of the seats 32, the amendment, how many 2, and of each seat 2 and its signature 64.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.seats.to_vec();
        self.amendment.encode_to(&mut bytes);
        put_signatures(&mut bytes, &self.signatures);
        bytes
    }

    /// Reads an encoding, of which each has one.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_AMENDMENT_BYTES {
            return Err(MessageError::Length);
        }
        let mut reader = Reader(bytes);
        let (seats, amendment) = (*reader.take()?, Amendment::read(&mut reader)?);
        let signatures = reader.signatures()?;
        reader.end()?;
        Ok(Self {
            seats,
            amendment,
            signatures,
        })
    }

    /// Whether more than two thirds of these seats have signed, and nobody else has. Takes about 50 µs for each.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn verify(&self, seats: &Seats) -> Result<(), MessageError> {
        if self.seats != seats.hash() {
            return Err(MessageError::NoSeat);
        }
        let (needed, found) = (seats.quorum(), self.signatures.len());
        if found < needed {
            return Err(MessageError::Quorum { needed, found });
        }
        for (seat, signature) in &self.signatures {
            check(seats, *seat, &self.amendment.body(*seat), signature)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;
    use shoal_proto::Epoch;

    use super::super::seats::tests::seats;
    use super::*;
    use crate::NetworkParameters;
    use crate::sample::Network;

    #[test]
    fn it_takes_more_than_two_thirds_for_one_and_the_same() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut network = Network::new(&mut rng, NetworkParameters::example(), 2, 3);
        let document = network.document(&mut rng, Epoch::new(0), None).unwrap();
        let (seats, identities) = seats(7);
        let ids: BTreeSet<_> = document.mixes(2).iter().copied().take(1).collect();
        let amendment = Amendment::new(Slot::new(9), &document, &ids).unwrap();
        assert_eq!(amendment.suspended(&document), Some(ids));
        let all = seats.all().zip(&identities);
        let sign = |(seat, key): (Seat, &Identity)| {
            AmendmentVote::sign(&seats, key, amendment.clone(), seat)
        };
        let votes: Vec<_> = all.map(sign).collect();
        for count in 0..=7 {
            let certified = CertifiedAmendment::of(&seats, &amendment, &votes[..count]);
            assert_eq!(certified.is_some(), count >= 5, "{count}");
            let Some(certified) = certified else { continue };
            let read = CertifiedAmendment::decode(&certified.encode()).unwrap();
            assert_eq!(read, certified);
            assert_eq!(read.verify(&seats), Ok(()));
            let mut forged = read;
            forged.amendment.slot = Slot::new(10);
            assert_eq!(forged.verify(&seats), Err(MessageError::Signature));
        }
        let vote = AmendmentVote::decode(&votes[3].encode()).unwrap();
        assert_eq!((vote.verify(&seats), &vote), (Ok(()), &votes[3]));
        let none = Amendment::new(Slot::new(9), &document, &BTreeSet::new()).unwrap();
        let other = AmendmentVote::sign(&seats, &identities[6], none, votes[6].seat);
        let mixed = [&votes[..4], &[votes[0].clone(), other]].concat();
        assert_eq!(CertifiedAmendment::of(&seats, &amendment, &mixed), None);
    }

    #[test]
    fn what_names_nobody_is_refused() {
        let amendment = |places: &[u16]| Amendment {
            slot: Slot::new(1),
            document: DocumentHash::new([1; 32]),
            places: places.to_vec(),
        };
        let read = |places: &[u16]| {
            let mut bytes = Vec::new();
            amendment(places).encode_to(&mut bytes);
            Amendment::read(&mut Reader(&bytes)).is_ok()
        };
        assert!(read(&[]) && read(&[0, 5, 9_999]));
        assert!(!read(&[5, 5]) && !read(&[5, 4]));
        let most: Vec<u16> = (0..2_049).collect();
        assert!(read(&most[1..]) && !read(&most));
    }
}
