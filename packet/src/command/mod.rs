//! What a provider is told by a plaintext that it can read, and what it answers.
//!
//! Every command and every [`Reply`] fills a plaintext exactly
//! ([`PLAINTEXT_BYTES`]): a first byte that names its kind,
//! fields of fixed length, numbers big-endian, and random bytes up to the end.

mod deposit;
mod drops;
mod mailbox;
mod reply;
mod token;

pub use deposit::{Blob, Deposit};
pub use drops::{DropChange, DropSet, SetSize};
pub use mailbox::{MAX_ACKS, MAX_DROP_CHANGES, MailboxPacket, MailboxRequest, Share};
pub use reply::{ReceiptStatus, Reply, StreamEntry, StreamItem};
pub use token::{TOKEN_WORK_BYTES, TokenAnswer, TokenAsk, TokenProof, TokenRefusal};

use crate::bytes::{Reader, Writer};
use crate::surb::Surb;
use rand::CryptoRng;
use shoal_proto::SurbId;
use shoal_proto::size::{PLAINTEXT_BYTES, SURB_BYTES};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a plaintext is not a command or a reply. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Commands fill a plaintext exactly.
    #[error("not {PLAINTEXT_BYTES} bytes long")]
    Length,
    /// The first byte names no kind known.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// A field has a value that it can't have.
    #[error("field {0} is out of range")]
    Field(&'static str),
    /// The caller is at fault: more of these than fit one packet.
    #[error("{found} {what} in one packet, at most {most} fit")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many fit.
        most: usize,
        /// How many were given.
        found: usize,
    },
}

const DEPOSIT: u8 = 1;
const DUMMY: u8 = 2;
const DROP: u8 = 3;
const NODE_LOOP: u8 = 4;
const MAILBOX: u8 = 5;
const TOKEN: u8 = 6;

/// What a provider is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Store a blob for somebody, and say so.
    Deposit(Box<Deposit>),
    /// Cover of the same kind: answer like a deposit, store nothing.
    Dummy {
        /// The byte that names the epoch of the reply block.
        surb_epoch: u8,
        /// For the answer.
        surb: Surb,
    },
    /// Cover: forget it.
    Drop,
    /// A node's own loop; means something to its sender only.
    NodeLoop(SurbId),
    /// From the owner of a mailbox: reply blocks, acknowledgements, drop ids.
    Mailbox(Box<MailboxPacket>),
    /// Issue a token, or say why not.
    Token(Box<TokenAsk>),
}

impl Command {
    /// The plaintext that says this, [`PLAINTEXT_BYTES`] long.
    #[must_use]
    pub fn encode<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new(PLAINTEXT_BYTES);
        match self {
            Self::Deposit(deposit) => {
                writer.put(&[DEPOSIT]);
                deposit.write(&mut writer);
            }
            Self::Dummy { surb_epoch, surb } => {
                writer.put(&[DUMMY, *surb_epoch]).put(surb.as_bytes());
            }
            Self::Drop => {
                writer.put(&[DROP]);
            }
            Self::NodeLoop(id) => {
                writer.put(&[NODE_LOOP]).put(id.as_bytes());
            }
            // Signed as a whole, its padding included.
            Self::Mailbox(packet) => {
                writer.put(packet.as_bytes());
            }
            Self::Token(ask) => {
                writer.put(&[TOKEN]);
                ask.write(rng, &mut writer);
            }
        }
        writer.pad_random(rng, PLAINTEXT_BYTES);
        writer.finish()
    }

    /// Reads a plaintext. A mailbox packet still has to be verified.
    ///
    /// # Errors
    /// [`CommandError`] says what is wrong with it.
    pub fn decode(plaintext: &[u8]) -> Result<Self, CommandError> {
        if plaintext.len() != PLAINTEXT_BYTES {
            return Err(CommandError::Length);
        }
        let mut reader = Reader::new(plaintext);
        let command = match reader.u8().ok_or(CommandError::Length)? {
            DEPOSIT => Deposit::read(&mut reader).map(|deposit| Self::Deposit(Box::new(deposit))),
            DUMMY => Self::read_dummy(&mut reader),
            DROP => Some(Self::Drop),
            NODE_LOOP => reader.array().map(|id| Self::NodeLoop(SurbId::new(id))),
            MAILBOX => Some(Self::Mailbox(Box::new(MailboxPacket::decode(plaintext)?))),
            TOKEN => Some(Self::Token(Box::new(TokenAsk::read(&mut reader)?))),
            kind => return Err(CommandError::Kind(kind)),
        };
        command.ok_or(CommandError::Length)
    }

    /// The identifier of a node's loop, if the plaintext is one. Of any other command only the kind is
    /// read.
    #[must_use]
    pub fn node_loop(plaintext: &[u8]) -> Option<SurbId> {
        if plaintext.first() != Some(&NODE_LOOP) {
            return None;
        }
        match Self::decode(plaintext) {
            Ok(Self::NodeLoop(id)) => Some(id),
            _ => None,
        }
    }

    fn read_dummy(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self::Dummy {
            surb_epoch: reader.u8()?,
            surb: read_surb(reader)?,
        })
    }
}

fn read_surb(reader: &mut Reader<'_>) -> Option<Surb> {
    Surb::from_bytes(reader.take(SURB_BYTES)?).ok()
}

/// What is signed: a domain, and then fields of fixed length.
fn signed(domain: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut message = domain.to_vec();
    for field in fields {
        message.extend_from_slice(field);
    }
    message
}
