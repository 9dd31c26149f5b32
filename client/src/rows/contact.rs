//! The row of a contact.

use shoal_packet::Sites;
use shoal_proto::Time;
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};
use super::label::Label;
use crate::keys::PeerKey;

/// Bytes of a hash of sites.
const MARK_BYTES: usize = 8;

/// A short hash of where a contact was written to.
pub(crate) type Mark = [u8; MARK_BYTES];

/// What the user makes of a contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The user has taken it for one: accepted its invitation, written to it, invited it and nobody else, or verified it.
    pub(crate) known: bool,
    /// The two have compared safety numbers.
    pub(crate) verified: bool,
    /// Nothing goes to it, and nothing from it is shown.
    pub(crate) blocked: bool,
    /// It is told what was read, and what it tells of that is shown.
    pub(crate) reads: bool,
}

/// A row of [`Table::Contact`](crate::Table::Contact); its key is the contact's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    pub(crate) sequence: u64,
    /// The number of the drop id for the contact's answers: the same in all mailboxes, where it stands
    /// for other ids. None before there is something to answer.
    pub(crate) drop: Option<u16>,
    /// The newest of our places that the contact has written to.
    pub(crate) used: u32,
    /// When the contact is told of the newest place, unless a text does before; none if it knows.
    pub(crate) tell: Option<Time>,
    /// How often it was told of it by a notice.
    pub(crate) notices: u8,
    /// Where it is written to.
    pub(crate) sites: Sites,
    /// The sequence and the time of its message that said so; zeros for an invitation.
    pub(crate) said: (u64, Time),
    /// Where else it was written to, and there, the latest last. Who accepts such an invitation again means what came
    /// after it.
    pub(crate) known: Vec<Mark>,
    pub(crate) standing: Standing,
    /// What a session with it is begun with, if its invitation was accepted.
    pub(crate) prekey: Option<PeerKey>,
    /// The number of the own invitation that it came with.
    pub(crate) via: Option<u32>,
    /// The minute in which it became one.
    pub(crate) since: Time,
    pub(crate) label: Label,
}

/// In the place of a number, where there is none.
const NO_DROP: u16 = u16::MAX;
/// In the place of an invitation's number, where there is none: none has it.
const NO_INVITATION: u32 = 0;

impl Standing {
    const fn encode(self) -> u8 {
        (self.known as u8)
            | (self.verified as u8) << 1
            | (self.blocked as u8) << 2
            | (self.reads as u8) << 3
    }

    fn decode(bits: u8) -> Result<Self, Fault> {
        if bits >= 16 {
            return Err("unknown standing");
        }
        Ok(Self {
            known: bits & 1 != 0,
            verified: bits & 2 != 0,
            blocked: bits & 4 != 0,
            reads: bits & 8 != 0,
        })
    }
}

impl ContactRow {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let (sequence, at) = self.said;
        // At most 16 and 64.
        let lengths = [self.known.len() as u8, self.label.as_str().len() as u8];
        let prekey = self.prekey.map_or([0; 32], |key| *key.as_bytes());
        let writer = Writer::new()
            .u64(self.sequence)
            .bytes(&self.drop.unwrap_or(NO_DROP).to_be_bytes())
            .bytes(&self.used.to_be_bytes())
            .time(self.tell.unwrap_or_default())
            .bytes(&[self.notices, self.standing.encode()])
            .bytes(&self.sites.to_bytes())
            .u64(sequence)
            .time(at)
            .bytes(&prekey)
            .bytes(&self.via.unwrap_or(NO_INVITATION).to_be_bytes())
            .time(self.since)
            .bytes(&lengths);
        let writer = writer.bytes(self.known.as_flattened());
        writer.bytes(self.label.as_str().as_bytes()).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sequence = reader.u64()?;
        let drop = Some(u16::from_be_bytes(*reader.take()?)).filter(|drop| *drop != NO_DROP);
        let used = u32::from_be_bytes(*reader.take()?);
        let tell = Some(reader.time()?).filter(|at| *at != Time::default());
        let [notices, standing] = *reader.take()?;
        let sites = Sites::from_bytes(reader.take()?);
        let said = (reader.u64()?, reader.time()?);
        let prekey = Some(*reader.take()?).filter(|key| *key != [0; 32]);
        let prekey = prekey.map(PeerKey::parse).transpose();
        let via = u32::from_be_bytes(*reader.take()?);
        let since = reader.time()?;
        let [known_count, label] = *reader.take()?;
        let rest = reader.rest();
        let marks = usize::from(known_count) * MARK_BYTES;
        let (marks, rest) = rest.split_at_checked(marks).ok_or("too short")?;
        if rest.len() != usize::from(label) {
            return Err("its name has not its length");
        }
        Ok(Self {
            sequence,
            drop,
            used,
            tell,
            notices,
            sites,
            said,
            known: marks.as_chunks().0.to_vec(),
            standing: Standing::decode(standing)?,
            prekey: prekey.map_err(|_| "its prekey is unsound")?,
            via: Some(via).filter(|via| *via != NO_INVITATION),
            since,
            label: Label::decode(rest)?,
        })
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<PeerKey, Fault> {
        let key = key
            .try_into()
            .map_err(|_| "the key has not the length of one")?;
        PeerKey::parse(key).map_err(|_| "the contact's key is unsound")
    }
}
