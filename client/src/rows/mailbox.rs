//! The rows of mailboxes.

use shoal_packet::token::PENDING_TOKEN_BYTES;
use shoal_proto::NodeId;
use shoal_proto::size::TOKEN_BYTES;
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};

/// Sets of drop ids that a mailbox has.
pub(crate) const SETS: usize = 2;

/// What is known of the mailbox's having a set of drop ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetState {
    /// Nothing.
    Unknown,
    /// It has it.
    Registered,
    /// It had no room for it.
    Refused,
}

/// The token that it is opened with, as far as it is had.
#[derive(Clone)]
pub(crate) enum TicketRow {
    None,
    /// Asked for: the number of the key, and what makes a token of the answer.
    Asked(u32, Zeroizing<[u8; PENDING_TOKEN_BYTES]>),
    Held(Zeroizing<[u8; TOKEN_BYTES]>),
}

/// One mailbox of a place: the key of its row in [`Table::Mailbox`](crate::Table::Mailbox).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BoxId {
    /// Counts the client's places.
    pub(crate) place: u32,
    /// The first, 0, or the second, 1.
    pub(crate) copy: u8,
}

/// The value of that row.
#[derive(Clone)]
pub(crate) struct MailboxRow {
    /// Who holds it.
    pub(crate) provider: NodeId,
    /// What its key and the secrets of its drop ids follow from.
    pub(crate) seed: Zeroizing<[u8; 32]>,
    /// The newest generation of its stream; 0 for none.
    pub(crate) generation: u64,
    pub(crate) states: [SetState; SETS],
    pub(crate) ticket: TicketRow,
}

impl TicketRow {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        match self {
            Self::None => Zeroizing::new(vec![0]),
            Self::Asked(number, pending) => {
                Zeroizing::new([&[1], &number.to_be_bytes()[..], pending.as_slice()].concat())
            }
            Self::Held(token) => Zeroizing::new([&[2], token.as_slice()].concat()),
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::key(bytes);
        let row = match reader.take::<1>()? {
            [0] => Self::None,
            [1] => {
                let number = u32::from_be_bytes(*reader.take()?);
                Self::Asked(number, Zeroizing::new(*reader.take()?))
            }
            [2] => Self::Held(Zeroizing::new(*reader.take()?)),
            _ => return Err("unknown state of a token"),
        };
        reader.end()?;
        Ok(row)
    }
}

impl BoxId {
    pub(crate) fn encode(self) -> Vec<u8> {
        [&self.place.to_be_bytes()[..], &[self.copy]].concat()
    }

    pub(crate) fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::key(key);
        let place = u32::from_be_bytes(*reader.take()?);
        let [copy] = *reader.take()?;
        reader.end()?;
        match copy {
            0 | 1 => Ok(Self { place, copy }),
            _ => Err("a place has two mailboxes at most"),
        }
    }
}

impl MailboxRow {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let states = self.states.map(|state| match state {
            SetState::Unknown => 0,
            SetState::Registered => 1,
            SetState::Refused => 2,
        });
        let writer = Writer::new().bytes(self.provider.as_bytes());
        let writer = writer.bytes(self.seed.as_slice());
        let writer = writer.u64(self.generation).bytes(&states);
        writer.bytes(&self.ticket.encode()).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let provider = NodeId::new(*reader.take()?);
        let seed = Zeroizing::new(*reader.take()?);
        let generation = reader.u64()?;
        let mut states = [SetState::Unknown; SETS];
        for (state, byte) in states.iter_mut().zip(reader.take::<SETS>()?) {
            *state = match byte {
                0 => SetState::Unknown,
                1 => SetState::Registered,
                2 => SetState::Refused,
                _ => return Err("unknown state of a set"),
            };
        }
        Ok(Self {
            provider,
            seed,
            generation,
            states,
            ticket: TicketRow::decode(reader.rest())?,
        })
    }
}
