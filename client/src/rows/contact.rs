//! The row of a contact.

use shoal_packet::Sites;
use shoal_proto::Time;

use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;

/// Bytes of a hash of sites.
const MARK_BYTES: usize = 8;

/// A short hash of where a contact was written to.
pub(crate) type Mark = [u8; MARK_BYTES];

/// A row of [`Table::Contact`](crate::Table::Contact); its key is the contact's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    pub(crate) sequence: u64,
    /// The number of the drop id for the contact's answers: the same in all mailboxes, where it stands
    /// for other ids.
    pub(crate) drop: u16,
    /// The newest of our places that the contact has written to.
    pub(crate) used: u32,
    /// When the contact is told of the newest place, unless a text does before; none if it knows.
    pub(crate) tell: Option<Time>,
    /// How often it was told of it by a notice.
    pub(crate) notices: u8,
    /// Where it is written to.
    pub(crate) sites: Sites,
    /// The sequence and the time of its message that said so; zeros for an address.
    pub(crate) said: (u64, Time),
    /// Where else it was written to, and there, the latest last. Who gives such an address means what came
    /// after it.
    pub(crate) known: Vec<Mark>,
}

impl ContactRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (sequence, at) = self.said;
        let writer = Writer::new()
            .u64(self.sequence)
            .bytes(&self.drop.to_be_bytes())
            .bytes(&self.used.to_be_bytes())
            .time(self.tell.unwrap_or_default())
            .bytes(&[self.notices])
            .bytes(&self.sites.to_bytes())
            .u64(sequence)
            .time(at);
        writer.bytes(self.known.as_flattened()).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sequence = reader.u64()?;
        let drop = u16::from_be_bytes(*reader.take()?);
        let used = u32::from_be_bytes(*reader.take()?);
        let tell = Some(reader.time()?).filter(|at| *at != Time::default());
        let [notices] = *reader.take()?;
        let sites = Sites::from_bytes(reader.take()?);
        let said = (reader.u64()?, reader.time()?);
        let (known, rest) = reader.rest().as_chunks();
        if !rest.is_empty() {
            return Err("too long");
        }
        Ok(Self {
            sequence,
            drop,
            used,
            tell,
            notices,
            sites,
            said,
            known: known.to_vec(),
        })
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<PeerKey, Fault> {
        let key = key
            .try_into()
            .map_err(|_| "the key has not the length of one")?;
        PeerKey::parse(key).map_err(|_| "the contact's key is unsound")
    }
}
