//! What a client keeps across restarts: rows of (table, key, value), stored by the host.
//!
//! Layouts are fixed and carry a version byte. Numbers are big-endian.

use std::fmt;
use std::str::FromStr;

use shoal_packet::command::{Blob, DropGrant};
use shoal_packet::fragment::FRAGMENT_BYTES;
use shoal_proto::size::{BLOB_BYTES, TOKEN_BYTES};
use shoal_proto::{DropId, MessageId, NodeId, Time};

use crate::error::ClientError;
use crate::keys::PeerKey;

const VERSION: u8 = 1;

/// The tables of a client's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Table {
    /// The last generation of the mailbox's stream.
    Meta,
    /// Who we wrote to: the next sequence number, and where their drop id is registered.
    Contact,
    /// Messages sent, with their state.
    Sent,
    /// Fragments not yet stored at the receiver's mailbox.
    Outbox,
    /// Fragments of messages that are not complete. Holds plaintext.
    Partial,
    /// Messages received and not read. Holds plaintext.
    Inbox,
    /// Fragments received, so that each is delivered once.
    Seen,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 7] = [
        Self::Meta,
        Self::Contact,
        Self::Sent,
        Self::Outbox,
        Self::Partial,
        Self::Inbox,
        Self::Seen,
    ];

    /// The name to store it under.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Contact => "contact",
            Self::Sent => "sent",
            Self::Outbox => "outbox",
            Self::Partial => "partial",
            Self::Inbox => "inbox",
            Self::Seen => "seen",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Table {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let found = Self::ALL.into_iter().find(|table| table.as_str() == text);
        found.ok_or(ClientError::Config {
            field: "table",
            reason: "is none of a client's tables",
        })
    }
}

/// A stored row, as given back at a restart.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The table.
    pub table: Table,
    /// The key, unique in its table.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// A change of one row. Those of one [`Persist`](crate::ClientAction::Persist) are stored
/// together or not at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
    /// The new value; `None` deletes the row.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({}, ..)", self.table)
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.value.is_some() {
            "put"
        } else {
            "delete"
        };
        write!(f, "Change({what} {}, ..)", self.table)
    }
}

impl Row {
    /// The error for this row.
    pub(crate) fn fault(&self, reason: Fault) -> ClientError {
        let key = bs58::encode(&self.key).into_string();
        ClientError::Row {
            table: self.table,
            key,
            reason,
        }
    }
}

impl Change {
    pub(crate) fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> Self {
        Self {
            table,
            key,
            value: Some(value),
        }
    }

    pub(crate) fn delete(table: Table, key: Vec<u8>) -> Self {
        Self {
            table,
            key,
            value: None,
        }
    }
}

/// What is wrong with a row.
pub(crate) type Fault = &'static str;

struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u64(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    fn time(self, time: Time) -> Self {
        self.u64(time.as_micros())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn value(bytes: &'a [u8]) -> Result<Self, Fault> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some(_) => Err("unknown version"),
            None => Err("empty"),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Fault> {
        let (head, rest) = self.0.split_first_chunk().ok_or("too short")?;
        self.0 = rest;
        Ok(head)
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_be_bytes(*self.take()?))
    }

    fn time(&mut self) -> Result<Time, Fault> {
        Ok(Time::from_micros(self.u64()?))
    }

    fn end(self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("too long")
        }
    }
}

/// Rows of [`Table::Meta`]: a number under a name.
pub(crate) const GENERATION: &[u8] = b"generation";

pub(crate) fn encode_number(number: u64) -> Vec<u8> {
    Writer::new().u64(number).0
}

pub(crate) fn decode_number(value: &[u8]) -> Result<u64, Fault> {
    let mut reader = Reader::value(value)?;
    let number = reader.u64()?;
    reader.end()?;
    Ok(number)
}

/// A row of [`Table::Contact`]; its key is the contact's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContactRow {
    pub(crate) sequence: u64,
    /// The provider at which the contact's drop set is known to be registered.
    pub(crate) registered_at: Option<NodeId>,
}

impl ContactRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let writer = Writer::new().u64(self.sequence);
        match &self.registered_at {
            Some(provider) => writer.bytes(&[1]).bytes(provider.as_bytes()).0,
            None => writer.bytes(&[0]).0,
        }
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let sequence = reader.u64()?;
        let registered_at = match reader.take::<1>()? {
            [0] => None,
            [1] => Some(NodeId::new(*reader.take()?)),
            _ => return Err("unknown registration"),
        };
        reader.end()?;
        Ok(Self {
            sequence,
            registered_at,
        })
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<PeerKey, Fault> {
        let key = key
            .try_into()
            .map_err(|_| "the key has not the length of one")?;
        PeerKey::parse(key).map_err(|_| "the contact's key is unsound")
    }
}

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

/// A row of [`Table::Sent`]; its key is the message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentRow {
    /// Grows with every accepted message.
    pub(crate) order: u64,
    pub(crate) accepted_at: Time,
    pub(crate) expires: Time,
    pub(crate) fragments: u16,
    pub(crate) state: MessageState,
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
        writer
            .bytes(&self.fragments.to_be_bytes())
            .bytes(&[state])
            .0
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
        };
        reader.end()?;
        Ok(row)
    }
}

/// A row of [`Table::Outbox`]: a sealed fragment, ready to be deposited again and again.
#[derive(Clone)]
pub(crate) struct OutboxRow {
    pub(crate) provider: NodeId,
    pub(crate) drop: DropId,
    pub(crate) grant: Option<DropGrant>,
    pub(crate) deposit: MessageId,
    pub(crate) blob: Box<Blob>,
}

impl OutboxRow {
    pub(crate) fn key(message: &MessageId, index: u16) -> Vec<u8> {
        [&message.as_bytes()[..], &index.to_be_bytes()].concat()
    }

    pub(crate) fn decode_key(key: &[u8]) -> Result<(MessageId, u16), Fault> {
        let mut reader = Reader(key);
        let message = MessageId::new(*reader.take()?);
        let index = u16::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok((message, index))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let grant = self
            .grant
            .as_ref()
            .map_or([0; TOKEN_BYTES], DropGrant::to_bytes);
        Writer::new()
            .bytes(self.provider.as_bytes())
            .bytes(self.drop.as_bytes())
            .bytes(&grant)
            .bytes(self.deposit.as_bytes())
            .bytes(self.blob.as_bytes())
            .0
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let row = Self {
            provider: NodeId::new(*reader.take()?),
            drop: DropId::new(*reader.take()?),
            grant: DropGrant::from_token(reader.take::<TOKEN_BYTES>()?),
            deposit: MessageId::new(*reader.take()?),
            blob: Box::new(
                Blob::from_bytes(reader.take::<BLOB_BYTES>()?).map_err(|_| "too short")?,
            ),
        };
        reader.end()?;
        Ok(row)
    }
}

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
        let mut reader = Reader(key);
        let decoded = Self::read(&mut reader)?;
        reader.end()?;
        Ok(decoded)
    }

    pub(crate) fn partial(self, index: u16) -> Vec<u8> {
        [&self.to_bytes()[..], &index.to_be_bytes()].concat()
    }

    pub(crate) fn decode_partial(key: &[u8]) -> Result<(Self, u16), Fault> {
        let mut reader = Reader(key);
        let decoded = Self::read(&mut reader)?;
        let index = u16::from_be_bytes(*reader.take()?);
        reader.end()?;
        Ok((decoded, index))
    }
}

/// A row of [`Table::Partial`]: a fragment as it was sealed.
pub(crate) fn encode_partial(arrived: Time, fragment: &[u8]) -> Vec<u8> {
    Writer::new().time(arrived).bytes(fragment).0
}

pub(crate) fn decode_partial(value: &[u8]) -> Result<(Time, &[u8; FRAGMENT_BYTES]), Fault> {
    let mut reader = Reader::value(value)?;
    let decoded = (reader.time()?, reader.take()?);
    reader.end()?;
    Ok(decoded)
}

/// A row of [`Table::Inbox`]: a whole message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct InboxRow {
    pub(crate) arrived: Time,
    pub(crate) sent_at: Time,
    pub(crate) sequence: u64,
    pub(crate) reply_provider: NodeId,
    pub(crate) reply_drop: DropId,
    pub(crate) text: Vec<u8>,
}

impl InboxRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        Writer::new()
            .time(self.arrived)
            .time(self.sent_at)
            .u64(self.sequence)
            .bytes(self.reply_provider.as_bytes())
            .bytes(self.reply_drop.as_bytes())
            .u64(self.text.len() as u64)
            .bytes(&self.text)
            .0
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::value(value)?;
        let mut row = Self {
            arrived: reader.time()?,
            sent_at: reader.time()?,
            sequence: reader.u64()?,
            reply_provider: NodeId::new(*reader.take()?),
            reply_drop: DropId::new(*reader.take()?),
            text: Vec::new(),
        };
        let length = reader.u64()?;
        if u64::try_from(reader.0.len()) != Ok(length) {
            return Err("the text has not its length");
        }
        row.text = reader.0.to_vec();
        Ok(row)
    }
}

/// Key of a row of [`Table::Seen`]; its value is when, as a number.
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
        let mut reader = Reader(key);
        let drop = DropId::new(*reader.take()?);
        let deposit = MessageId::new(*reader.take()?);
        reader.end()?;
        Ok(Self { drop, deposit })
    }
}
