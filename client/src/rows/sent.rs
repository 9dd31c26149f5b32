//! The rows of messages sent.

use shoal_packet::fragment::{CONTENT_BYTES, Kind};
use shoal_packet::{DropSite, Sites};
use shoal_proto::{MessageId, Span, Time};
use zeroize::Zeroizing;

use super::codec::{Fault, Reader, Writer};
use crate::keys::PeerKey;

/// How far a sent message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MessageState {
    /// Accepted and saved; nothing of it has left yet.
    Queued,
    /// A part of it has left.
    Sent,
    /// All of it is on the disk of the receiver's mailbox.
    Stored,
    /// The receiver says that it is on its own disk.
    Delivered,
    /// The receiver says that it was read there.
    Read,
    /// Its time to live passed before all of it was stored; it is not tried any more.
    Expired,
}

impl MessageState {
    /// Whether it has left for good, as far as its sender can tell.
    #[must_use]
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::Delivered | Self::Read)
    }

    /// The name for people and machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Expired => "expired",
        }
    }
}

/// A row of [`Table::Sent`](crate::Table::Sent); its key is the message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentRow {
    /// Grows with every accepted message.
    pub(crate) order: u64,
    pub(crate) to: PeerKey,
    /// What it is for. A notice is nothing that the user wrote.
    pub(crate) kind: Kind,
    pub(crate) accepted_at: Time,
    pub(crate) expires: Time,
    /// As many as have to be stored.
    pub(crate) fragments: u16,
    pub(crate) state: MessageState,
    /// How many more there are.
    pub(crate) more: u16,
    /// These are for another provider: they are tried until they are stored too.
    pub(crate) both: bool,
}

impl SentRow {
    /// Where among the parts of its message the one of this index stands when they leave: in order, but that every
    /// fifth is for the second mailbox, if there is one, which delivers a quarter as fast as the first.
    pub(crate) fn place(&self, index: u16) -> u32 {
        let index = u32::from(index);
        match index.checked_sub(self.fragments.into()) {
            Some(second) if self.both => 5 * second + 4,
            None if self.both => index + index / 4,
            _ => index,
        }
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let state = match self.state {
            MessageState::Queued => 0,
            MessageState::Sent => 1,
            MessageState::Stored => 2,
            MessageState::Expired => 3,
            MessageState::Delivered => 4,
            MessageState::Read => 5,
        };
        let writer = Writer::new()
            .u64(self.order)
            .bytes(self.to.as_bytes())
            .bytes(&[match self.kind {
                Kind::Text => 0,
                Kind::Notice => 1,
                Kind::Data => 2,
            }])
            .time(self.accepted_at)
            .time(self.expires);
        let writer = writer.bytes(&self.fragments.to_be_bytes()).bytes(&[state]);
        let writer = writer.bytes(&self.more.to_be_bytes());
        writer.bytes(&[u8::from(self.both)]).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let row = Self {
            order: reader.u64()?,
            to: PeerKey::parse(*reader.take()?).map_err(|_| "the receiver's key is unsound")?,
            kind: match reader.take::<1>()? {
                [0] => Kind::Text,
                [1] => Kind::Notice,
                [2] => Kind::Data,
                _ => return Err("unknown kind"),
            },
            accepted_at: reader.time()?,
            expires: reader.time()?,
            fragments: u16::from_be_bytes(*reader.take()?),
            state: match reader.take::<1>()? {
                [0] => MessageState::Queued,
                [1] => MessageState::Sent,
                [2] => MessageState::Stored,
                [3] => MessageState::Expired,
                [4] => MessageState::Delivered,
                [5] => MessageState::Read,
                _ => return Err("unknown state"),
            },
            more: u16::from_be_bytes(*reader.take()?),
            both: match reader.take::<1>()? {
                [0] => false,
                [1] => true,
                _ => return Err("neither one provider nor two"),
            },
        };
        reader.end()?;
        Ok(row)
    }
}

/// A row of [`Table::Outbox`](crate::Table::Outbox): a fragment, ready to be sealed and deposited again and again.
#[derive(Clone)]
pub(crate) struct OutboxRow {
    /// Where it goes.
    pub(crate) site: DropSite,
    /// Where it goes in turns with that after the first tries: its receiver's other mailbox, if there is to be no
    /// second copy there.
    pub(crate) other: Option<DropSite>,
    /// Its name there, and nowhere else.
    pub(crate) deposit: MessageId,
    /// What is sealed anew for each try: a message of a session.
    pub(crate) content: Zeroizing<Vec<u8>>,
}

impl OutboxRow {
    pub(crate) fn key(message: &MessageId, index: u16) -> Vec<u8> {
        [&message.as_bytes()[..], &index.to_be_bytes()].concat()
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<(MessageId, u16), Fault> {
        let mut reader = Reader::key(key);
        let message = MessageId::new(*reader.take()?);
        let index = u16::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok((message, index))
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let sites = Sites {
            first: self.site,
            second: self.other,
        };
        Writer::new()
            .bytes(&sites.to_bytes())
            .bytes(self.deposit.as_bytes())
            .bytes(&self.content)
            .done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sites = Sites::from_bytes(reader.take()?);
        let row = Self {
            site: sites.first,
            other: sites.second,
            deposit: MessageId::new(*reader.take()?),
            content: Zeroizing::new(reader.take::<CONTENT_BYTES>()?.to_vec()),
        };
        reader.end()?;
        Ok(row)
    }
}

/// A row of [`Table::Retry`](crate::Table::Retry), under the key of a fragment that was tried: when it
/// is tried again if no receipt comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryRow {
    /// How often it was tried: sent, or missed because nothing could be sent.
    pub(crate) tries: u32,
    pub(crate) due: Time,
    /// The mean wait of the last one.
    pub(crate) wait: Span,
}

impl RetryRow {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let writer = Writer::new().bytes(&self.tries.to_be_bytes());
        writer.time(self.due).span(self.wait).done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let row = Self {
            tries: u32::from_be_bytes(*reader.take()?),
            due: reader.time()?,
            wait: reader.span()?,
        };
        reader.end()?;
        Ok(row)
    }
}
