//! What seats say to each other.
//!
//! Layout, numbers big-endian: version 1, kind 1 (1 proposal, 2 prevote, 3 precommit, 4 certificate), and of
//! the first three: height 8, round 4, document 32 and whether there is one 1, for a proposal the round of its
//! lock 4 (all ones for none), seat 2, signature 64. What is signed is a domain, the network's hash, that of
//! the seats, and these bytes without the signature: what is said in one seat counts in no other.

use super::certificate::Certificate;
use super::height::Height;
use super::seats::{MAX_SEATS, Seats};
use super::vote::{
    MessageError, PRECOMMIT, PREVOTE, PROPOSAL, Proposal, Reader, SIGNATURE, VERSION, Vote,
    VoteKind, check,
};

const CERTIFICATE: u8 = 4;

/// The longest message: a certificate of all seats.
pub const MAX_MESSAGE_BYTES: usize = 2 + 8 + 4 + 32 + 2 + MAX_SEATS * (2 + SIGNATURE);

/// What passes between seats.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A proposal.
    Proposal(Proposal),
    /// A vote.
    Vote(Vote),
    /// The end of a height.
    Certificate(Certificate),
}

/// A message whose signatures are those of seats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(pub(super) Message);

impl Verified {
    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.0
    }
}

impl Message {
    /// The height that it is about.
    #[must_use]
    pub const fn height(&self) -> Height {
        match self {
            Self::Proposal(proposal) => proposal.height,
            Self::Vote(vote) => vote.height,
            Self::Certificate(certificate) => certificate.height,
        }
    }

    /// The encoding; [`MAX_MESSAGE_BYTES`] at most.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Proposal(proposal) => [&proposal.body()[..], &proposal.signature].concat(),
            Self::Vote(vote) => [&vote.body()[..], &vote.signature].concat(),
            Self::Certificate(certificate) => {
                [&[VERSION, CERTIFICATE][..], &certificate.encode()].concat()
            }
        }
    }

    /// Reads an encoding. There is one for each message.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(MessageError::Length);
        }
        let mut reader = Reader(bytes);
        let [version] = *reader.take()?;
        if version != VERSION {
            return Err(MessageError::Version(version));
        }
        let [kind] = *reader.take()?;
        let message = match kind {
            PROPOSAL => Self::Proposal(Proposal::read(&mut reader)?),
            PREVOTE => Self::Vote(Vote::read(VoteKind::Prevote, &mut reader)?),
            PRECOMMIT => Self::Vote(Vote::read(VoteKind::Precommit, &mut reader)?),
            CERTIFICATE => Self::Certificate(Certificate::read(&mut reader)?),
            kind => return Err(MessageError::Kind(kind)),
        };
        reader.end()?;
        Ok(message)
    }

    /// Checks the signatures: one, or those of more than two thirds of the seats. Takes about 50 µs
    /// for each.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn verify(self, seats: &Seats) -> Result<Verified, MessageError> {
        match &self {
            Self::Proposal(proposal) => {
                check(seats, proposal.seat, &proposal.body(), &proposal.signature)?;
            }
            Self::Vote(vote) => check(seats, vote.seat, &vote.body(), &vote.signature)?,
            Self::Certificate(certificate) => certificate.verify(seats)?,
        }
        Ok(Verified(self))
    }
}
#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use shoal_proto::DocumentHash;

    use super::super::seats::{Seat, tests::seats};
    use super::*;
    use crate::Identity;

    fn vote(seats: &Seats, identity: &Identity, seat: Seat) -> Vote {
        let place = (VoteKind::Precommit, Height::new(7), 2);
        Vote::sign(
            seats,
            identity,
            place,
            Some(DocumentHash::new([5; 32])),
            seat,
        )
    }

    #[test]
    fn a_message_is_the_seats_only_as_it_was_signed() {
        let (seats, identities) = seats(4);
        let vote = vote(&seats, &identities[2], Seat(2));
        let bytes = Message::Vote(vote).encode();
        assert!(Message::decode(&bytes).unwrap().verify(&seats).is_ok());
        // Every bit counts, whatever it makes of it.
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            let taken = Message::decode(&other).and_then(|message| message.verify(&seats));
            assert!(taken.is_err(), "bit {bit}");
        }
        // Another network's is none.
        let ids = identities.iter().map(Identity::id);
        let elsewhere = Seats::first(shoal_proto::NetworkHash::new([2; 32]), ids).unwrap();
        let taken = Message::decode(&bytes).unwrap().verify(&elsewhere);
        assert_eq!(taken.err(), Some(MessageError::Signature));
    }

    #[test]
    fn a_proposal_reads_back() {
        let (seats, identities) = seats(4);
        for locked in [None, Some(0), Some(3)] {
            let what = (DocumentHash::new([5; 32]), locked);
            let proposal =
                Proposal::sign(&seats, &identities[1], (Height::new(7), 4), what, Seat(1));
            let message = Message::Proposal(proposal);
            let read = Message::decode(&message.encode()).unwrap();
            assert_eq!(read, message);
            assert!(read.verify(&seats).is_ok());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_message_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
