//! Fragments: what is inside a sealed blob. A text longer than one packet travels in several.
//!
//! Layout (1376 bytes, numbers big-endian): version 1, kind 1, message id 16, index 2, count 2,
//! sequence 8, sent at 4 (whole minutes since the Unix epoch), reply provider 32, reply drop id
//! 32, length of the text 2, text of at most 1263, zeros.

use crate::bytes::{Reader, Writer};
use shoal_proto::size::{BLOB_BYTES, TEXT_BYTES_PER_PACKET};
use shoal_proto::{DropId, MessageId, NodeId, Time};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes that the seal adds: an ephemeral key 32, the sealed static key 48, a tag 16.
const SEAL_BYTES: usize = 96;
/// An encoded fragment, before it is sealed.
pub const FRAGMENT_BYTES: usize = BLOB_BYTES - SEAL_BYTES;
/// Most fragments of one message.
pub const MAX_FRAGMENTS: usize = 64;
/// Longest text: 80,832 bytes.
pub const MAX_TEXT_BYTES: usize = MAX_FRAGMENTS * TEXT_BYTES_PER_PACKET;

const MICROS_PER_MINUTE: u64 = 60_000_000;

const VERSION: u8 = 1;
const TEXT: u8 = 1;

/// Why bytes are not a fragment, or a text can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// Not 1376 bytes.
    #[error("not {FRAGMENT_BYTES} bytes long")]
    Length,
    /// From a later version, or not a fragment.
    #[error("unknown version {0}")]
    Version(u8),
    /// Something that this version doesn't know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// Index, count, or length of the text that no sender makes.
    #[error("field {0} is out of range")]
    Field(&'static str),
    /// The caller is at fault: the text does not fit 64 packets.
    #[error("a text has at most {MAX_TEXT_BYTES} bytes, this one {found}")]
    TextTooLong {
        /// Bytes that were given.
        found: usize,
    },
}

/// What all fragments of a message say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The whole message's id; the same when it is sent again.
    pub message: MessageId,
    /// Numbers the messages from this sender to this receiver, so that gaps show.
    pub sequence: u64,
    /// The minute of the sender's clock when it took the message. What is finer does not travel:
    /// it would tell that clock from others.
    pub sent_at: Time,
    /// The provider of the sender's mailbox.
    pub reply_provider: NodeId,
    /// Where answers go, there.
    pub reply_drop: DropId,
}

/// Redacted.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(..)")
    }
}

/// A part of a message's text. All but the last carry exactly
/// [`TEXT_BYTES_PER_PACKET`] bytes; the last has at least one, unless it is the only one.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The same in all fragments of a message.
    pub envelope: Envelope,
    /// Counts from 0.
    pub index: u16,
    /// How many there are: 1 to [`MAX_FRAGMENTS`].
    pub count: u16,
    /// This part of the text. Zeroized on drop.
    pub text: Zeroizing<Vec<u8>>,
}

/// Redacted.
impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fragment(..)")
    }
}

impl Fragment {
    /// The bytes to seal, [`FRAGMENT_BYTES`] long.
    ///
    /// # Errors
    /// [`FragmentError::Field`] if index, count and length of the text don't go together.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, FragmentError> {
        self.check()?;
        let length = u16::try_from(self.text.len()).map_err(|_| FragmentError::Field("length"))?;
        let mut writer = Writer::new(FRAGMENT_BYTES);
        writer
            .put(&[VERSION, TEXT])
            .put(self.envelope.message.as_bytes())
            .put(&self.index.to_be_bytes())
            .put(&self.count.to_be_bytes())
            .put(&self.envelope.sequence.to_be_bytes())
            .put(&minute(self.envelope.sent_at).to_be_bytes())
            .put(self.envelope.reply_provider.as_bytes())
            .put(self.envelope.reply_drop.as_bytes())
            .put(&length.to_be_bytes())
            .put(&self.text);
        Ok(writer.finish())
    }

    /// Reads what was sealed. Each fragment has one encoding only.
    ///
    /// # Errors
    /// [`FragmentError`] says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, FragmentError> {
        if bytes.len() != FRAGMENT_BYTES {
            return Err(FragmentError::Length);
        }
        let mut reader = Reader::new(bytes);
        match (reader.u8(), reader.u8()) {
            (Some(VERSION), Some(TEXT)) => {}
            (Some(VERSION), Some(kind)) => return Err(FragmentError::Kind(kind)),
            (Some(version), _) => return Err(FragmentError::Version(version)),
            (None, _) => return Err(FragmentError::Length),
        }
        let (mut fragment, length) = Self::read_head(&mut reader).ok_or(FragmentError::Length)?;
        let text = reader
            .take(usize::from(length))
            .ok_or(FragmentError::Field("length"))?;
        fragment.text = Zeroizing::new(text.to_vec());
        fragment.check()?;
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(FragmentError::Field("padding"));
        }
        Ok(fragment)
    }

    fn read_head(reader: &mut Reader<'_>) -> Option<(Self, u16)> {
        let message = MessageId::new(reader.array()?);
        let (index, count) = (reader.u16()?, reader.u16()?);
        let envelope = Envelope {
            message,
            sequence: reader.u64()?,
            sent_at: Time::from_micros(u64::from(reader.u32()?) * MICROS_PER_MINUTE),
            reply_provider: NodeId::new(reader.array()?),
            reply_drop: DropId::new(reader.array()?),
        };
        let text = Zeroizing::new(Vec::new());
        Some((
            Self {
                envelope,
                index,
                count,
                text,
            },
            reader.u16()?,
        ))
    }

    fn check(&self) -> Result<(), FragmentError> {
        let most = usize::from(self.count);
        if most == 0 || most > MAX_FRAGMENTS {
            return Err(FragmentError::Field("count"));
        }
        if self.index >= self.count {
            return Err(FragmentError::Field("index"));
        }
        let last = self.index + 1 == self.count;
        let fits = match self.text.len() {
            0 => self.count == 1,
            TEXT_BYTES_PER_PACKET => true,
            length => last && length < TEXT_BYTES_PER_PACKET,
        };
        if fits {
            Ok(())
        } else {
            Err(FragmentError::Field("length"))
        }
    }
}

/// The whole minute that a time is in, since the Unix epoch; the last one there is after the year
/// 10136.
fn minute(time: Time) -> u32 {
    u32::try_from(time.as_micros() / MICROS_PER_MINUTE).unwrap_or(u32::MAX)
}

/// Cuts a text into fragments, at least one.
///
/// # Errors
/// [`FragmentError::TextTooLong`] above [`MAX_TEXT_BYTES`].
pub fn split(envelope: &Envelope, text: &[u8]) -> Result<Vec<Fragment>, FragmentError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(FragmentError::TextTooLong { found: text.len() });
    }
    let count = text.len().div_ceil(TEXT_BYTES_PER_PACKET).max(1);
    let count = u16::try_from(count).map_err(|_| FragmentError::Field("count"))?;
    // An empty text has no chunks, and still is one fragment.
    let parts = text
        .chunks(TEXT_BYTES_PER_PACKET)
        .chain(std::iter::repeat(&[][..]));
    Ok((0..count)
        .zip(parts)
        .map(|(index, part)| Fragment {
            envelope: *envelope,
            index,
            count,
            text: Zeroizing::new(part.to_vec()),
        })
        .collect())
}
