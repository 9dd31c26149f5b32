//! The rows of sessions: one for each, some for what comes late to it, and one for each prekey.

use shoal_proto::Time;
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;

/// Bytes of what tells a session from others.
pub(crate) const TAG_BYTES: usize = 8;

/// A row of [`Table::Session`](crate::Table::Session); its key is the session's tag.
pub(crate) struct SessionRow {
    pub(crate) peer: PeerKey,
    /// Grows with each use of any session: the one of a peer that was used last is sent with.
    pub(crate) used: u64,
    /// How far each chain of the other end has come, the newest last.
    pub(crate) chains: Vec<ChainRow>,
    /// The outer layer.
    pub(crate) outer: Zeroizing<Vec<u8>>,
    /// The ratchet, as its library keeps it.
    pub(crate) ratchet: Zeroizing<Vec<u8>>,
}

/// How far a chain of the other end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainRow {
    pub(crate) key: [u8; 32],
    /// The index after the highest that came.
    pub(crate) next: u64,
    /// How many before it have not come.
    pub(crate) missing: u64,
    /// The index from which on what is kept for late messages reaches; none if nothing was kept.
    pub(crate) kept: Option<u64>,
}

/// A row of [`Table::Late`](crate::Table::Late); its key is the session's tag and a number.
pub(crate) struct LateRow {
    /// When it was kept.
    pub(crate) at: Time,
    pub(crate) ratchet: Zeroizing<Vec<u8>>,
}

impl SessionRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let count = u8::try_from(self.chains.len()).unwrap_or(u8::MAX);
        let mut writer = Writer::new()
            .bytes(self.peer.as_bytes())
            .u64(self.used)
            .bytes(&[count]);
        for chain in self.chains.iter().take(count.into()) {
            writer = writer
                .bytes(&chain.key)
                .u64(chain.next)
                .u64(chain.missing)
                .u64(chain.kept.unwrap_or(u64::MAX));
        }
        // At most a few hundred.
        let length = u16::try_from(self.outer.len()).unwrap_or(u16::MAX);
        let writer = writer.bytes(&length.to_be_bytes()).bytes(&self.outer);
        writer.bytes(&self.ratchet).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let peer =
            PeerKey::parse(*reader.take()?).map_err(|_| "the key of who it is with is unsound")?;
        let used = reader.u64()?;
        let [count] = *reader.take()?;
        let mut chains = Vec::new();
        for _ in 0..count {
            chains.push(ChainRow {
                key: *reader.take()?,
                next: reader.u64()?,
                missing: reader.u64()?,
                kept: Some(reader.u64()?).filter(|from| *from != u64::MAX),
            });
        }
        let length = u16::from_be_bytes(*reader.take()?);
        let (outer, ratchet) = (reader.rest())
            .split_at_checked(length.into())
            .ok_or("too short")?;
        Ok(Self {
            peer,
            used,
            chains,
            outer: Zeroizing::new(outer.to_vec()),
            ratchet: Zeroizing::new(ratchet.to_vec()),
        })
    }
}

impl LateRow {
    pub(crate) fn key(tag: &[u8; TAG_BYTES], number: u64) -> Vec<u8> {
        [&tag[..], &number.to_be_bytes()].concat()
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<([u8; TAG_BYTES], u64), Fault> {
        let mut reader = Reader::key(key);
        let key = (*reader.take()?, reader.u64()?);
        reader.end()?;
        Ok(key)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new().time(self.at).bytes(&self.ratchet).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        Ok(Self {
            at: reader.time()?,
            ratchet: Zeroizing::new(reader.rest().to_vec()),
        })
    }
}
