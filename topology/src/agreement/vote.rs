//! What one seat says in a round, signed, and the layout that all messages share.

use shoal_proto::DocumentHash;
use thiserror::Error;

use super::height::Height;
use super::seats::{MAX_SEATS, Seat, Seats};
use crate::Identity;
use crate::identity::verify;

pub(super) const VERSION: u8 = 1;
pub(super) const PROPOSAL: u8 = 1;
pub(super) const PREVOTE: u8 = 2;
pub(super) const PRECOMMIT: u8 = 3;

/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;
const DOMAIN: &[u8] = b"shoal agreement 2";
/// Rounds beyond this are no rounds: the waits grow, so that a network never gets there.
pub(super) const MAX_ROUND: u32 = 1 << 20;

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
    /// The height whose document is voted on.
    pub height: Height,
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
    /// The height whose document is proposed.
    pub height: Height,
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
impl Vote {
    /// A vote with its signature.
    pub(super) fn sign(
        seats: &Seats,
        identity: &Identity,
        (kind, height, round): (VoteKind, Height, u32),
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
        vote.signature = sign(seats, identity, &vote.body());
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

    pub(super) fn read(kind: VoteKind, reader: &mut Reader<'_>) -> Result<Self, MessageError> {
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
        (height, round): (Height, u32),
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
        proposal.signature = sign(seats, identity, &proposal.body());
        proposal
    }

    pub(super) fn body(&self) -> Vec<u8> {
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

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
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
    let holder = seats.holder(seat).ok_or(MessageError::NoSeat)?;
    match verify(&holder.key, &signed(seats, body), signature) {
        true => Ok(()),
        false => Err(MessageError::Signature),
    }
}

/// Signed by the key of a seat.
pub(super) fn sign(seats: &Seats, key: &Identity, body: &[u8]) -> [u8; SIGNATURE] {
    key.sign(&signed(seats, body))
}

fn signed(seats: &Seats, body: &[u8]) -> Vec<u8> {
    [DOMAIN, seats.network.as_bytes(), &seats.hash(), body].concat()
}

/// What seats have signed alike, ascending.
pub(super) type Signatures = Vec<(Seat, [u8; SIGNATURE])>;

/// Writes what [`Reader::signatures`] reads.
pub(super) fn put_signatures(bytes: &mut Vec<u8>, signatures: &Signatures) {
    let count = u16::try_from(signatures.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&count.to_be_bytes());
    for (seat, signature) in signatures {
        bytes.extend_from_slice(&seat.0.to_be_bytes());
        bytes.extend_from_slice(signature);
    }
}

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], MessageError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(MessageError::Length)?;
        self.0 = rest;
        Ok(head)
    }

    /// Height and round.
    pub(super) fn place(&mut self) -> Result<(Height, u32), MessageError> {
        let height = Height::new(u64::from_be_bytes(*self.take()?));
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

    /// How many 2, and of each seat, ascending, 2 and its signature.
    pub(super) fn signatures(&mut self) -> Result<Signatures, MessageError> {
        let count = usize::from(u16::from_be_bytes(*self.take()?));
        if count > MAX_SEATS {
            return Err(MessageError::Field("signatures"));
        }
        let mut signatures = Signatures::with_capacity(count);
        for _ in 0..count {
            let seat = self.seat()?;
            if signatures.last().is_some_and(|(last, _)| *last >= seat) {
                return Err(MessageError::Field("signatures"));
            }
            signatures.push((seat, *self.take()?));
        }
        Ok(signatures)
    }

    pub(super) const fn end(&self) -> Result<(), MessageError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(MessageError::Length),
        }
    }
}
