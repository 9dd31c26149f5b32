//! The row of the pool of drop ids.

use shoal_proto::NodeId;

use super::codec::{Fault, Reader, Writer};

/// Sets of a pool.
pub(crate) const SETS: usize = 64;

/// What is known of the mailbox's having a set of drop ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetState {
    /// Nothing.
    Unknown,
    /// It has it.
    Registered,
    /// It had no room for it, or not for all of it.
    Refused,
}

/// The row in [`Table::Meta`](crate::Table::Meta) of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolRow {
    /// Where the mailbox is.
    pub(crate) provider: NodeId,
    pub(crate) states: [SetState; SETS],
}

impl PoolRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let states = self.states.map(|state| match state {
            SetState::Unknown => 0,
            SetState::Registered => 1,
            SetState::Refused => 2,
        });
        let writer = Writer::new().bytes(self.provider.as_bytes());
        writer.bytes(&states).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let provider = NodeId::new(*reader.take()?);
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
        Ok(Self { provider, states })
    }
}
