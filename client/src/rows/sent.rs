//! The rows of messages sent.

use shoal_packet::command::Blob;
use shoal_proto::size::BLOB_BYTES;
use shoal_proto::{DropId, MessageId, NodeId, Span, Time};

use super::codec::{Fault, Reader, Writer};

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
    /// Its time to live passed before all of it was stored; it is not tried any more.
    Expired,
}

impl MessageState {
    /// The name for people and machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Expired => "expired",
        }
    }
}

/// A row of [`Table::Sent`](crate::Table::Sent); its key is the message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentRow {
    /// Grows with every accepted message.
    pub(crate) order: u64,
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
    pub(crate) fn encode(&self) -> Vec<u8> {
        let state = match self.state {
            MessageState::Queued => 0,
            MessageState::Sent => 1,
            MessageState::Stored => 2,
            MessageState::Expired => 3,
        };
        let writer = Writer::new()
            .u64(self.order)
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
            accepted_at: reader.time()?,
            expires: reader.time()?,
            fragments: u16::from_be_bytes(*reader.take()?),
            state: match reader.take::<1>()? {
                [0] => MessageState::Queued,
                [1] => MessageState::Sent,
                [2] => MessageState::Stored,
                [3] => MessageState::Expired,
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

/// A row of [`Table::Outbox`](crate::Table::Outbox): a sealed fragment, ready to be deposited again and again.
#[derive(Clone)]
pub(crate) struct OutboxRow {
    pub(crate) provider: NodeId,
    pub(crate) drop: DropId,
    pub(crate) deposit: MessageId,
    pub(crate) blob: Box<Blob>,
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

    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .bytes(self.provider.as_bytes())
            .bytes(self.drop.as_bytes())
            .bytes(self.deposit.as_bytes())
            .bytes(self.blob.as_bytes())
            .done()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let row = Self {
            provider: NodeId::new(*reader.take()?),
            drop: DropId::new(*reader.take()?),
            deposit: MessageId::new(*reader.take()?),
            blob: Box::new(
                Blob::from_bytes(reader.take::<BLOB_BYTES>()?).map_err(|_| "too short")?,
            ),
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
    pub(crate) fn encode(&self) -> Vec<u8> {
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
