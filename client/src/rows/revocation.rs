//! The rows of drop ids that take nothing more.

use shoal_proto::Time;
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};
use super::mailbox::BoxId;
use crate::sets::DropName;

/// A row of [`Table::Revocation`](crate::Table::Revocation): one of a mailbox's drop ids takes nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RevocationRow {
    /// From when on the mailbox is told.
    pub(crate) from: Time,
    /// It has heard it.
    pub(crate) done: bool,
}

impl RevocationRow {
    pub(crate) fn key(of: BoxId, name: DropName) -> Vec<u8> {
        let (set, number) = match name {
            DropName::Invitation(number) => (0, number),
            DropName::Contact(number) => (1, number),
        };
        [&of.encode()[..], &[set], &number.to_be_bytes()].concat()
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<(BoxId, DropName), Fault> {
        let (of, rest) = key.split_at_checked(5).ok_or("too short")?;
        let of = BoxId::decode(of)?;
        let mut reader = Reader::key(rest);
        let [set] = *reader.take()?;
        let number = u16::from_be_bytes(*reader.take()?);
        reader.end()?;
        let name = match set {
            0 => DropName::Invitation(number),
            1 => DropName::Contact(number),
            _ => return Err("unknown set"),
        };
        Ok((of, name))
    }

    /// The clock may have been another one when it was written: it is told no later than in so long.
    pub(crate) fn bound(mut self, latest: Time) -> Self {
        self.from = self.from.min(latest);
        self
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let writer = Writer::new().time(self.from);
        writer.bytes(&[u8::from(self.done)]).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let from = reader.time()?;
        let done = match reader.take()? {
            [0] => false,
            [1] => true,
            _ => return Err("neither done nor not"),
        };
        reader.end()?;
        Ok(Self { from, done })
    }
}
