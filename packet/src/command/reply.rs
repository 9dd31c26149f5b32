//! What a provider answers.

use super::{Blob, CommandError, TokenAnswer};
use crate::bytes::{Reader, Writer};
use rand::CryptoRng;
use shoal_proto::size::{BLOB_BYTES, PLAINTEXT_BYTES};
use shoal_proto::{DropId, MessageId};
use zeroize::Zeroizing;

const DUMMY: u8 = 1;
const RECEIPT: u8 = 2;
const STREAM: u8 = 3;
const BEHIND: u8 = 4;
const TOKEN: u8 = 5;

const STORED: u8 = 1;
const REFUSED: u8 = 2;
const FULL: u8 = 3;

const NO_ENTRY: u8 = 0;
const ENTRY: u8 = 1;

/// What became of a deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptStatus {
    /// It is on the provider's disk.
    Stored,
    /// It is not: the drop id is unknown or revoked, or there is no room for more under it or in its
    /// mailbox. On purpose not told apart.
    Refused,
    /// It is not: the provider has no room, for whomever it is.
    Full,
}

/// What a provider answers through a reply block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Nothing to say (yet).
    Dummy,
    /// About a deposit.
    Receipt {
        /// The deposit's message id.
        message: MessageId,
        /// What became of it.
        status: ReceiptStatus,
    },
    /// One tick of a mailbox's clock.
    Stream(Box<StreamItem>),
    /// To an owner whose packet does not count, because the mailbox has seen this generation, which
    /// is the same or a newer one: who goes on has to go on above it.
    Behind {
        /// The newest generation that the mailbox has seen.
        generation: u64,
    },
    /// To who asked for a token.
    Token(TokenAnswer),
}

/// One tick of a mailbox's clock, with a message if there was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamItem {
    /// The owner's generation that the reply block came from.
    pub generation: u64,
    /// Counts every packet of this generation's stream from 0, so that the owner sees gaps.
    pub number: u64,
    /// The highest counter of a mailbox packet received in this generation.
    pub window_highest: u64,
    /// Bit i: the packet with counter `window_highest - 1 - i` was received.
    pub window_bits: u64,
    /// Bit i: of the drop ids that the packet with counter `window_highest - i` registers or
    /// revokes, not all were: the provider has no room for more.
    pub refused_bits: u64,
    /// Reply blocks in stock after this one.
    pub stock: u16,
    /// A message.
    pub entry: Option<StreamEntry>,
}

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// What to acknowledge.
    pub entry: u64,
    /// The drop id that it came in by.
    pub drop: DropId,
    /// The message id that it was deposited under.
    pub message: MessageId,
    /// What was deposited.
    pub blob: Box<Blob>,
}

impl Reply {
    /// The plaintext that says this, [`PLAINTEXT_BYTES`] long.
    #[must_use]
    pub fn encode<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new(PLAINTEXT_BYTES);
        match self {
            Self::Dummy => {
                writer.put(&[DUMMY]);
            }
            Self::Receipt { message, status } => {
                let status = match status {
                    ReceiptStatus::Stored => STORED,
                    ReceiptStatus::Refused => REFUSED,
                    ReceiptStatus::Full => FULL,
                };
                writer
                    .put(&[RECEIPT])
                    .put(message.as_bytes())
                    .put(&[status]);
            }
            Self::Stream(item) => {
                writer.put(&[STREAM]);
                item.write(&mut writer);
            }
            Self::Behind { generation } => {
                writer.put(&[BEHIND]).put(&generation.to_be_bytes());
            }
            Self::Token(answer) => {
                writer.put(&[TOKEN]);
                answer.write(&mut writer);
            }
        }
        writer.pad_random(rng, PLAINTEXT_BYTES);
        writer.finish()
    }

    /// Reads a plaintext.
    ///
    /// # Errors
    /// [`CommandError`] says what is wrong with it.
    pub fn decode(plaintext: &[u8]) -> Result<Self, CommandError> {
        if plaintext.len() != PLAINTEXT_BYTES {
            return Err(CommandError::Length);
        }
        let mut reader = Reader::new(plaintext);
        match reader.u8().ok_or(CommandError::Length)? {
            DUMMY => Ok(Self::Dummy),
            RECEIPT => {
                let message = reader
                    .array()
                    .map(MessageId::new)
                    .ok_or(CommandError::Length)?;
                let status = match reader.u8().ok_or(CommandError::Length)? {
                    STORED => ReceiptStatus::Stored,
                    REFUSED => ReceiptStatus::Refused,
                    FULL => ReceiptStatus::Full,
                    _ => return Err(CommandError::Field("status of a receipt")),
                };
                Ok(Self::Receipt { message, status })
            }
            STREAM => StreamItem::read(&mut reader).map(|item| Self::Stream(Box::new(item))),
            BEHIND => {
                let generation = reader.u64().ok_or(CommandError::Length)?;
                Ok(Self::Behind { generation })
            }
            TOKEN => TokenAnswer::read(&mut reader).map(Self::Token),
            kind => Err(CommandError::Kind(kind)),
        }
    }
}

impl StreamItem {
    fn write(&self, writer: &mut Writer) {
        writer
            .put(&self.generation.to_be_bytes())
            .put(&self.number.to_be_bytes())
            .put(&self.window_highest.to_be_bytes())
            .put(&self.window_bits.to_be_bytes())
            .put(&self.refused_bits.to_be_bytes())
            .put(&self.stock.to_be_bytes());
        match &self.entry {
            None => {
                writer.put(&[NO_ENTRY]);
            }
            Some(entry) => {
                writer
                    .put(&[ENTRY])
                    .put(&entry.entry.to_be_bytes())
                    .put(entry.drop.as_bytes())
                    .put(entry.message.as_bytes())
                    .put(entry.blob.as_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CommandError> {
        let mut item = Self::read_head(reader).ok_or(CommandError::Length)?;
        item.entry = match reader.u8().ok_or(CommandError::Length)? {
            NO_ENTRY => None,
            ENTRY => Some(StreamEntry::read(reader).ok_or(CommandError::Length)?),
            _ => return Err(CommandError::Field("presence of an entry")),
        };
        Ok(item)
    }

    fn read_head(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            generation: reader.u64()?,
            number: reader.u64()?,
            window_highest: reader.u64()?,
            window_bits: reader.u64()?,
            refused_bits: reader.u64()?,
            stock: reader.u16()?,
            entry: None,
        })
    }
}

impl StreamEntry {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            entry: reader.u64()?,
            drop: DropId::new(reader.array()?),
            message: MessageId::new(reader.array()?),
            blob: Box::new(Blob::from_bytes(reader.take(BLOB_BYTES)?).ok()?),
        })
    }
}
