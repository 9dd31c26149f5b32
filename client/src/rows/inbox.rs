//! The rows of messages received.

use shoal_packet::Sites;
use shoal_packet::fragment::{FRAGMENT_BYTES, Fragment, FragmentError};
use shoal_proto::{DropId, MessageId, Time};
use zeroize::Zeroizing;

use super::codec::{EARLIER, Fault, Reader, Writer};
use crate::keys::PeerKey;

/// Key of a received message: who wrote it, and the id the writer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InboxKey {
    pub(crate) sender: PeerKey,
    pub(crate) message: MessageId,
}

impl InboxKey {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.sender.as_bytes()[..], self.message.as_bytes()].concat()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let sender = PeerKey::parse(*reader.take()?).map_err(|_| "the sender's key is unsound")?;
        Ok(Self {
            sender,
            message: MessageId::new(*reader.take()?),
        })
    }

    pub(crate) fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::key(key);
        let decoded = Self::read(&mut reader)?;
        reader.end()?;
        Ok(decoded)
    }

    pub(crate) fn partial(self, index: u16) -> Vec<u8> {
        [&self.to_bytes()[..], &index.to_be_bytes()].concat()
    }

    pub(crate) fn decode_partial(key: &[u8]) -> Result<(Self, u16), Fault> {
        let mut reader = Reader::key(key);
        let decoded = Self::read(&mut reader)?;
        let index = u16::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok((decoded, index))
    }
}

/// A row of [`Table::Partial`](crate::Table::Partial): a fragment as it was sealed.
pub(crate) fn encode_partial(arrived: Time, fragment: &[u8]) -> Zeroizing<Vec<u8>> {
    Writer::new().time(arrived).bytes(fragment).done()
}

pub(crate) fn decode_partial(value: &[u8]) -> Result<(Time, &[u8; FRAGMENT_BYTES]), Fault> {
    let mut reader = Reader::value(value)?;
    let decoded = (reader.time()?, reader.take()?);
    reader.end()?;
    Ok(decoded)
}

/// The fragment that such a row holds.
pub(crate) fn parse_partial(bytes: &[u8; FRAGMENT_BYTES]) -> Result<Fragment, Fault> {
    Fragment::decode(bytes).map_err(|error| match error {
        FragmentError::Version(1) => EARLIER,
        _ => "it holds no fragment",
    })
}

/// A row of [`Table::Inbox`](crate::Table::Inbox): a whole message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct InboxRow {
    pub(crate) arrived: Time,
    pub(crate) sent_at: Time,
    pub(crate) sequence: u64,
    pub(crate) reply: Sites,
    pub(crate) text: Vec<u8>,
    /// How many messages right before it had not come when it was told.
    pub(crate) gap_before: u64,
    /// For a program, and no text.
    pub(crate) is_data: bool,
    /// It is told to nobody from then on.
    pub(crate) expires: Option<Time>,
}

impl InboxRow {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let writer = Writer::new()
            .time(self.arrived)
            .time(self.sent_at)
            .u64(self.sequence)
            .bytes(&self.reply.to_bytes())
            .u64(self.gap_before)
            .bytes(&[u8::from(self.is_data)])
            .time(self.expires.unwrap_or_default())
            .u64(self.text.len() as u64);
        writer.bytes(&self.text).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let mut row = Self {
            arrived: reader.time()?,
            sent_at: reader.time()?,
            sequence: reader.u64()?,
            reply: Sites::from_bytes(reader.take()?),
            gap_before: reader.u64()?,
            is_data: match reader.take()? {
                [0] => false,
                [1] => true,
                _ => return Err("neither a text nor for a program"),
            },
            expires: Some(reader.time()?).filter(|at| *at != Time::default()),
            text: Vec::new(),
        };
        let length = reader.u64()?;
        row.text = reader.rest().to_vec();
        if row.text.len() as u64 != length {
            return Err("its text is not as long as it says");
        }
        Ok(row)
    }
}

/// Key of a row of [`Table::Seen`](crate::Table::Seen); its value is when, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeenKey {
    pub(crate) drop: DropId,
    pub(crate) deposit: MessageId,
}

impl SeenKey {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.drop.as_bytes()[..], self.deposit.as_bytes()].concat()
    }

    pub(crate) fn decode(key: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::key(key);
        let drop = DropId::new(*reader.take()?);
        let deposit = MessageId::new(*reader.take()?);
        reader.end()?;
        Ok(Self { drop, deposit })
    }
}
