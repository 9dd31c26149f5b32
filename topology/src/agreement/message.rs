//! What seats say to each other.
//!
//! Layout, numbers big-endian: version 1, kind 1 (1 proposal, 2 prevote, 3 precommit, 4 certificate), and of
//! the first three: height 8, round 4, document 32 and whether there is one 1, for a proposal the round of its
//! lock 4 (all ones for none), seat 2, signature 64. What is signed is a domain, the network's hash and
//! these bytes without the signature.

use shoal_proto::{DocumentHash, Epoch};
use thiserror::Error;

use super::certificate::Certificate;
use super::seats::{MAX_SEATS, Seat, Seats};
use crate::Identity;
use crate::identity::verify;

const VERSION: u8 = 1;
const PROPOSAL: u8 = 1;
const PREVOTE: u8 = 2;
const PRECOMMIT: u8 = 3;
const CERTIFICATE: u8 = 4;

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;
const DOMAIN: &[u8] = b"shoal agreement 1";
/// Rounds beyond this are no rounds: a height has a quarter of an epoch.
pub(super) const MAX_ROUND: u32 = 1 << 20;
/// The longest message: a certificate of all seats.
pub const MAX_MESSAGE_BYTES: usize = 2 + 8 + 4 + 32 + 2 + MAX_SEATS * (2 + SIGNATURE);

/// Why bytes are no message, or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Too short, too long, or with bytes left over.
    #[error("the message has not the length of its kind")]
    Length,
    /// From a later version, or no message.
    #[error("unknown version {0}")]
    Version(u8),
    /// Something that this version doesn't know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// A value that no honest seat writes.
    #[error("field {0} is out of range")]
    Field(&'static str),
    /// Not of a seat of this term.
    #[error("the sender has no seat")]
    NoSeat,
    /// The signature is not the seat's.
    #[error("a signature is not the seat's")]
    Signature,
    /// Too few seats have signed.
    #[error("a certificate needs {needed} seats, this one has {found}")]
    Quorum {
        /// Seats that decide.
        needed: usize,
        /// Seats that signed.
        found: usize,
    },
}

/// The two votes of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VoteKind {
    /// This is what I would take.
    Prevote,
    /// More than two thirds would take it, and I hold to it.
    Precommit,
}

/// A vote of a seat, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Which vote.
    pub kind: VoteKind,
    /// The epoch whose document is voted on.
    pub height: Epoch,
    /// The round, from 0.
    pub round: u32,
    /// What for; none is against all.
    pub document: Option<DocumentHash>,
    /// Whose.
    pub seat: Seat,
    pub(super) signature: [u8; SIGNATURE],
}

/// What a seat proposes in its round, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The epoch whose document is proposed.
    pub height: Epoch,
    /// The round, from 0.
    pub round: u32,
    /// The document.
    pub document: DocumentHash,
    /// The earlier round in which more than two thirds prevoted it, if there is one.
    pub locked: Option<u32>,
    /// Whose.
    pub seat: Seat,
    pub(super) signature: [u8; SIGNATURE],
}

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
    /// The epoch that it is about.
    #[must_use]
    pub const fn height(&self) -> Epoch {
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

impl Vote {
    /// A vote with its signature.
    pub(super) fn sign(
        seats: &Seats,
        identity: &Identity,
        (kind, height, round): (VoteKind, Epoch, u32),
        document: Option<DocumentHash>,
        seat: Seat,
    ) -> Self {
        let mut vote = Self {
            kind,
            height,
            round,
            document,
            seat,
            signature: [0; SIGNATURE],
        };
        vote.signature = identity.sign(&signed(seats, &vote.body()));
        vote
    }

    /// What is signed of it.
    pub(super) fn body(&self) -> Vec<u8> {
        let kind = match self.kind {
            VoteKind::Prevote => PREVOTE,
            VoteKind::Precommit => PRECOMMIT,
        };
        let hash = self.document.map_or([0; 32], |hash| *hash.as_bytes());
        let parts: [&[u8]; 6] = [
            &[VERSION, kind],
            &self.height.number().to_be_bytes(),
            &self.round.to_be_bytes(),
            &hash,
            &[u8::from(self.document.is_some())],
            &self.seat.0.to_be_bytes(),
        ];
        parts.concat()
    }

    fn read(kind: VoteKind, reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (height, round) = reader.place()?;
        let hash = *reader.take()?;
        let document = match reader.take::<1>()? {
            [1] => Some(DocumentHash::new(hash)),
            [0] if hash == [0; 32] => None,
            _ => return Err(MessageError::Field("document")),
        };
        Ok(Self {
            kind,
            height,
            round,
            document,
            seat: reader.seat()?,
            signature: *reader.take()?,
        })
    }
}

impl Proposal {
    /// A proposal with its signature.
    pub(super) fn sign(
        seats: &Seats,
        identity: &Identity,
        (height, round): (Epoch, u32),
        (document, locked): (DocumentHash, Option<u32>),
        seat: Seat,
    ) -> Self {
        let mut proposal = Self {
            height,
            round,
            document,
            locked,
            seat,
            signature: [0; SIGNATURE],
        };
        proposal.signature = identity.sign(&signed(seats, &proposal.body()));
        proposal
    }

    fn body(&self) -> Vec<u8> {
        let parts: [&[u8]; 7] = [
            &[VERSION, PROPOSAL],
            &self.height.number().to_be_bytes(),
            &self.round.to_be_bytes(),
            self.document.as_bytes(),
            &[1],
            &self.locked.unwrap_or(u32::MAX).to_be_bytes(),
            &self.seat.0.to_be_bytes(),
        ];
        parts.concat()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        let (height, round) = reader.place()?;
        let document = DocumentHash::new(*reader.take()?);
        if *reader.take()? != [1] {
            return Err(MessageError::Field("document"));
        }
        let locked = match u32::from_be_bytes(*reader.take()?) {
            u32::MAX => None,
            locked if locked < round => Some(locked),
            _ => return Err(MessageError::Field("locked")),
        };
        Ok(Self {
            height,
            round,
            document,
            locked,
            seat: reader.seat()?,
            signature: *reader.take()?,
        })
    }
}

/// Whether a seat has signed this.
pub(super) fn check(
    seats: &Seats,
    seat: Seat,
    body: &[u8],
    signature: &[u8; SIGNATURE],
) -> Result<(), MessageError> {
    let member = seats.member(seat).ok_or(MessageError::NoSeat)?;
    match verify(member, &signed(seats, body), signature) {
        true => Ok(()),
        false => Err(MessageError::Signature),
    }
}

fn signed(seats: &Seats, body: &[u8]) -> Vec<u8> {
    [DOMAIN, seats.network.as_bytes(), body].concat()
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], MessageError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(MessageError::Length)?;
        self.0 = rest;
        Ok(head)
    }

    /// Height and round.
    pub(super) fn place(&mut self) -> Result<(Epoch, u32), MessageError> {
        let height = Epoch::new(u64::from_be_bytes(*self.take()?));
        let round = u32::from_be_bytes(*self.take()?);
        if round > MAX_ROUND {
            return Err(MessageError::Field("round"));
        }
        Ok((height, round))
    }

    pub(super) fn seat(&mut self) -> Result<Seat, MessageError> {
        let seat = u16::from_be_bytes(*self.take()?);
        if usize::from(seat) >= MAX_SEATS {
            return Err(MessageError::Field("seat"));
        }
        Ok(Seat(seat))
    }

    pub(super) const fn end(&self) -> Result<(), MessageError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(MessageError::Length),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::seats::tests::seats;
    use super::*;

    fn vote(seats: &Seats, identity: &Identity, seat: Seat) -> Vote {
        let place = (VoteKind::Precommit, Epoch::new(7), 2);
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
        let elsewhere = Seats::new(shoal_proto::NetworkHash::new([2; 32]), ids).unwrap();
        let taken = Message::decode(&bytes).unwrap().verify(&elsewhere);
        assert_eq!(taken.err(), Some(MessageError::Signature));
    }

    #[test]
    fn a_proposal_reads_back() {
        let (seats, identities) = seats(4);
        for locked in [None, Some(0), Some(3)] {
            let what = (DocumentHash::new([5; 32]), locked);
            let proposal =
                Proposal::sign(&seats, &identities[1], (Epoch::new(7), 4), what, Seat(1));
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
