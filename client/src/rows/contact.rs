//! The row of a contact.

use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;

/// A row of [`Table::Contact`](crate::Table::Contact); its key is the contact's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    pub(crate) sequence: u64,
    /// The number of the drop id for the contact's answers: the same in all mailboxes, where it stands
    /// for other ids.
    pub(crate) drop: u16,
}

impl ContactRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = Writer::new().u64(self.sequence);
        writer.bytes(&self.drop.to_be_bytes()).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sequence = reader.u64()?;
        let drop = u16::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok(Self { sequence, drop })
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<PeerKey, Fault> {
        let key = key
            .try_into()
            .map_err(|_| "the key has not the length of one")?;
        PeerKey::parse(key).map_err(|_| "the contact's key is unsound")
    }
}
