//! The row of a contact.

use shoal_proto::NodeId;

use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;

/// A row of [`Table::Contact`](crate::Table::Contact); its key is the contact's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    pub(crate) sequence: u64,
    /// The provider at which the contact's drop set is known to be registered.
    pub(crate) registered_at: Option<NodeId>,
}

impl ContactRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = Writer::new().u64(self.sequence);
        match &self.registered_at {
            Some(provider) => writer.bytes(&[1]).bytes(provider.as_bytes()).done(),
            None => writer.bytes(&[0]).done(),
        }
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sequence = reader.u64()?;
        let registered_at = match reader.take::<1>()? {
            [0] => None,
            [1] => Some(NodeId::new(*reader.take()?)),
            _ => return Err("unknown registration"),
        };
        reader.end()?;
        Ok(Self {
            sequence,
            registered_at,
        })
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<PeerKey, Fault> {
        let key = key
            .try_into()
            .map_err(|_| "the key has not the length of one")?;
        PeerKey::parse(key).map_err(|_| "the contact's key is unsound")
    }
}
