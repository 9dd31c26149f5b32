//! The row of a contact.

use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;

/// A row of [`Table::Contact`](crate::Table::Contact); its key is the contact's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    pub(crate) sequence: u64,
    /// The number of the drop id for the contact's answers; none for the one in the address.
    pub(crate) drop: Option<u16>,
}

impl ContactRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = Writer::new().u64(self.sequence);
        match self.drop {
            Some(number) => writer.bytes(&[1]).bytes(&number.to_be_bytes()).done(),
            None => writer.bytes(&[0]).done(),
        }
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sequence = reader.u64()?;
        let drop = match reader.take::<1>()? {
            [0] => None,
            [1] => Some(u16::from_be_bytes(*reader.take()?)),
            _ => return Err("unknown kind of drop id"),
        };
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
