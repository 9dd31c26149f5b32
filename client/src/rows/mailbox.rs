//! The rows of mailboxes.

use shoal_proto::NodeId;
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
    pub(crate) fn encode(&self) -> Vec<u8> {
        let states = self.states.map(|state| match state {
            SetState::Unknown => 0,
            SetState::Registered => 1,
            SetState::Refused => 2,
        });
        let writer = Writer::new().bytes(self.provider.as_bytes());
        let writer = writer.bytes(self.seed.as_slice());
        writer.u64(self.generation).bytes(&states).done()
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
        reader.end()?;
        Ok(Self {
            provider,
            seed,
            generation,
            states,
        })
    }
}
