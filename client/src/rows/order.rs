//! The row of a sender.

use shoal_proto::Time;
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};

/// A row of [`Table::Order`](crate::Table::Order); its key is the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrderRow {
    /// The number of the message that is told next.
    pub(crate) next: u64,
    /// When one was told.
    pub(crate) told: Time,
}

impl OrderRow {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        Writer::new().u64(self.next).time(self.told).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let row = Self {
            next: reader.u64()?,
            told: reader.time()?,
        };
        reader.end()?;
        Ok(row)
    }
}
