//! The rows of invitations.

use shoal_proto::Time;
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};
use super::label::Label;
use crate::invitation::SeenDocument;
use crate::keys::PeerKey;

/// Whom an invitation has let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guest {
    /// Nobody; or it is for more than one.
    Nobody,
    /// Who came first.
    One(PeerKey),
    /// Who came first; and others came who were not let in.
    Leaked(PeerKey),
}

impl Guest {
    /// Who came first, alone.
    pub(crate) const fn who(&self) -> Option<PeerKey> {
        match self {
            Self::Nobody => None,
            Self::One(key) | Self::Leaked(key) => Some(*key),
        }
    }
}

/// A row of [`Table::Invitation`](crate::Table::Invitation); its key is the invitation's number.
#[derive(Clone)]
pub(crate) struct InvitationRow {
    /// The place that it leads to.
    pub(crate) place: u32,
    /// The number of its drop id there.
    pub(crate) drop: u16,
    /// What sessions are begun with.
    pub(crate) prekey: Zeroizing<[u8; 32]>,
    pub(crate) once: bool,
    pub(crate) guest: Guest,
    pub(crate) made: Time,
    /// Nobody is let in who comes later. A whole minute.
    pub(crate) expires: Time,
    /// It is not kept for longer.
    pub(crate) until: Time,
    /// What its maker held for certified.
    pub(crate) seen: Option<SeenDocument>,
    /// Whom it is for, in the owner's words.
    pub(crate) label: Label,
}

impl InvitationRow {
    pub(crate) fn decode_key(key: &[u8]) -> Result<u32, Fault> {
        let mut reader = Reader::key(key);
        let number = u32::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok(number)
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (guest, key) = match &self.guest {
            Guest::Nobody => (0, [0; 32]),
            Guest::One(key) => (1, *key.as_bytes()),
            Guest::Leaked(key) => (2, *key.as_bytes()),
        };
        let (has, epoch, hash) = match self.seen {
            Some(seen) => (1, seen.epoch.number(), seen.hash),
            None => (0, 0, [0; 16]),
        };
        let writer = Writer::new()
            .bytes(&self.place.to_be_bytes())
            .bytes(&self.drop.to_be_bytes())
            .bytes(self.prekey.as_slice())
            .bytes(&[u8::from(self.once), guest])
            .bytes(&key)
            .time(self.made)
            .time(self.expires)
            .time(self.until)
            .bytes(&[has])
            .u64(epoch)
            .bytes(&hash);
        writer.bytes(self.label.as_str().as_bytes()).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let place = u32::from_be_bytes(*reader.take()?);
        let drop = u16::from_be_bytes(*reader.take()?);
        let prekey = Zeroizing::new(*reader.take()?);
        let [once, guest] = *reader.take()?;
        let key = *reader.take()?;
        let guest = match guest {
            0 if key == [0; 32] => Guest::Nobody,
            1 | 2 => {
                let key = PeerKey::parse(key).map_err(|_| "its guest's key is unsound")?;
                match guest {
                    1 => Guest::One(key),
                    _ => Guest::Leaked(key),
                }
            }
            _ => return Err("unknown guest"),
        };
        let once = match once {
            0 => false,
            1 => true,
            _ => return Err("neither for one nor for more"),
        };
        let (made, expires, until) = (reader.time()?, reader.time()?, reader.time()?);
        let [has] = *reader.take()?;
        let (epoch, hash) = (reader.u64()?, *reader.take()?);
        let seen = match has {
            0 if epoch == 0 && hash == [0; 16] => None,
            1 => Some(SeenDocument {
                epoch: shoal_proto::Epoch::new(epoch),
                hash,
            }),
            _ => return Err("unknown document"),
        };
        let label = Label::decode(reader.rest())?;
        Ok(Self {
            place,
            drop,
            prekey,
            once,
            guest,
            made,
            expires,
            until,
            seen,
            label,
        })
    }
}
