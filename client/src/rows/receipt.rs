//! The rows of what contacts are to be told of their messages.

use shoal_proto::{MessageId, Time};
use zeroize::Zeroizing;

use super::Change;
use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;
use crate::table::Table;

/// A row of [`Table::Receipt`]; its key is the contact and the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReceiptRow {
    /// When the contact is told.
    pub(crate) at: Time,
    /// That it was read, and not only that it is here.
    pub(crate) read: bool,
}

impl ReceiptRow {
    pub(crate) fn key(contact: &PeerKey, message: &MessageId) -> Vec<u8> {
        [&contact.as_bytes()[..], message.as_bytes()].concat()
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<(PeerKey, MessageId), Fault> {
        let mut reader = Reader::key(key);
        let contact =
            PeerKey::parse(*reader.take()?).map_err(|_| "the contact's key is unsound")?;
        let message = MessageId::new(*reader.take()?);
        reader.end()?;
        Ok((contact, message))
    }

    /// It is saved.
    pub(crate) fn change(&self, contact: &PeerKey, message: &MessageId) -> Change {
        Change::put(Table::Receipt, Self::key(contact, message), self.encode())
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let writer = Writer::new().time(self.at);
        writer.bytes(&[u8::from(self.read)]).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let at = reader.time()?;
        let read = match reader.take()? {
            [0] => false,
            [1] => true,
            _ => return Err("neither read nor not"),
        };
        reader.end()?;
        Ok(Self { at, read })
    }
}
