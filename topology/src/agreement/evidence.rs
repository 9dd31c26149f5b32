//! That a seat has said two things where an honest one says one.

use super::height::Height;
use super::message::Message;
use super::seats::{Seat, Seats};
use super::vote::{MessageError, Reader, Vote, VoteKind};
use crate::Identity;

/// Most bytes of evidence: two proposals, each behind its length.
pub const MAX_EVIDENCE_BYTES: usize = 2 * (2 + 2 + 8 + 4 + 32 + 1 + 4 + 2 + 64);

/// Two messages of one seat, for one place, that differ. Anybody who knows the seats can check it, and
/// nobody can make it of an honest seat, which has on disk what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    first: Message,
    second: Message,
}

impl Evidence {
    /// Of two messages, if they are evidence.
    pub(super) fn of(first: Message, second: Message) -> Option<Self> {
        contradict(&first, &second)?;
        let (first, second) = match first.encode() <= second.encode() {
            true => (first, second),
            false => (second, first),
        };
        Some(Self { first, second })
    }

    /// Two votes of a seat at a height, for samples: its identity is the key of the seat.
    pub(crate) fn sign(seats: &Seats, identity: &Identity, height: Height) -> Option<Self> {
        let seat = seats.of(&identity.id())?;
        let vote = |document| {
            let place = (VoteKind::Prevote, height, 0);
            Message::Vote(Vote::sign(seats, identity, place, document, seat))
        };
        let some = Some(shoal_proto::DocumentHash::new([7; 32]));
        Self::of(vote(None), vote(some))
    }

    /// Whose.
    #[must_use]
    pub fn seat(&self) -> Seat {
        match &self.first {
            Message::Vote(vote) => vote.seat,
            Message::Proposal(proposal) => proposal.seat,
            // Never made of one.
            Message::Certificate(_) => Seat(u16::MAX),
        }
    }

    /// The height that both messages are about.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.first.height()
    }

    /// Both messages.
    #[must_use]
    pub const fn messages(&self) -> [&Message; 2] {
        [&self.first, &self.second]
    }

    /// The encoding: both messages, each behind its length of two bytes, the smaller first;
    /// [`MAX_EVIDENCE_BYTES`] at most.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for message in self.messages() {
            let message = message.encode();
            let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&message);
        }
        bytes
    }

    /// Reads an encoding and checks it: two messages of one seat that contradict each other.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn verify(bytes: &[u8], seats: &Seats) -> Result<Self, MessageError> {
        UnverifiedEvidence::read(bytes)?.verify(seats)
    }
}

/// What has the form of evidence, of which no signature is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnverifiedEvidence(Evidence);

impl UnverifiedEvidence {
    /// Reads an encoding, of which each evidence has one.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, MessageError> {
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(MessageError::Length);
        }
        let mut reader = Reader(bytes);
        let mut next = || {
            let length = usize::from(u16::from_be_bytes(*reader.take()?));
            let (message, rest) = reader
                .0
                .split_at_checked(length)
                .ok_or(MessageError::Length)?;
            reader.0 = rest;
            Message::decode(message)
        };
        let (first, second) = (next()?, next()?);
        reader.end()?;
        let evidence = Evidence::of(first, second).filter(|it| it.encode() == bytes);
        evidence.map(Self).ok_or(MessageError::Field("evidence"))
    }

    /// The height that it is about.
    pub(crate) const fn height(&self) -> Height {
        self.0.height()
    }

    /// Whom it is against, if it verifies.
    pub(crate) fn seat(&self) -> Seat {
        self.0.seat()
    }

    /// Checks both signatures, against the seats of its height.
    pub(crate) fn verify(self, seats: &Seats) -> Result<Evidence, MessageError> {
        let Self(Evidence { first, second }) = self;
        let (first, second) = (first.verify(seats)?, second.verify(seats)?);
        Evidence::of(first.0, second.0).ok_or(MessageError::Field("evidence"))
    }
}

/// Whether an honest seat never says both. The same said twice is no contradiction.
fn contradict(first: &Message, second: &Message) -> Option<()> {
    let contradict = match (first, second) {
        (Message::Vote(one), Message::Vote(two)) => {
            let place = |vote: &super::Vote| (vote.kind, vote.height, vote.round, vote.seat);
            place(one) == place(two) && one.document != two.document
        }
        (Message::Proposal(one), Message::Proposal(two)) => {
            let place = |it: &super::Proposal| (it.height, it.round, it.seat);
            let what = |it: &super::Proposal| (it.document, it.locked);
            place(one) == place(two) && what(one) != what(two)
        }
        _ => false,
    };
    contradict.then_some(())
}
