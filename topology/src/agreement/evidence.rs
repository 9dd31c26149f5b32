//! That a seat has said two things where an honest one says one.

use super::message::Message;
use super::seats::{Seat, Seats};
use super::vote::{MessageError, Reader};

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
        Some(Self { first, second })
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

    /// Both messages.
    #[must_use]
    pub const fn messages(&self) -> [&Message; 2] {
        [&self.first, &self.second]
    }

    /// The encoding: both messages, each behind its length of two bytes.
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
        let mut reader = Reader(bytes);
        let mut next = || {
            let length = usize::from(u16::from_be_bytes(*reader.take()?));
            let (message, rest) = reader
                .0
                .split_at_checked(length)
                .ok_or(MessageError::Length)?;
            reader.0 = rest;
            Message::decode(message)?.verify(seats)
        };
        let (first, second) = (next()?, next()?);
        reader.end()?;
        Self::of(first.0, second.0).ok_or(MessageError::Field("evidence"))
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
