//! Fragments: what is inside a sealed blob. A text longer than one packet travels in several, and with
//! them some of parity: any as many of all as have text give it back, so that a few losses cost no
//! round trip.
//!
//! A message goes to one provider, with three of parity for ten of text, or in two copies to two: the
//! text to the one and as much parity to the other, so that either alone has the message, and what is
//! lost on the way to the one is made up for by the other.
//!
//! Layout of version 4 (1343 bytes, numbers big-endian): version 1, kind 1 (1 for a text, 2 for a notice, 3 for data of a program), message
//! id 16, index 2, count 2 (fragments with text), extra 2 (fragments of parity: three for ten of the count, or as
//! many), sequence 8, sent at 4 (whole minutes since the Unix epoch), expires 4 (the same; 0 for when the network
//! says), where answers go 128 (twice provider 32 and drop id 32; zeros for no second), length of the message's
//! whole text 4 (which the count goes with; 1 in a notice), text of at most 1169 or parity of 1170, zeros.
//! The length is the whole text's in each, so that it is known whichever of them are lost. Those with
//! text come first in the order of the index. Version 3, whose notices said nothing, and what was before are refused.

use std::collections::BTreeMap;
use std::fmt;

use shoal_proto::size::{BLOB_BYTES, TEXT_BYTES_PER_PACKET};
use shoal_proto::{MessageId, Time};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::Sites;
use crate::bytes::{Reader, Writer};
use crate::erasure;
pub use crate::erasure::{SHARD_BYTES, parity};

/// Bytes that the seal adds: an ephemeral key 32, a tag 16.
const SEAL_BYTES: usize = 48;
/// What is inside a seal: a message of a session.
pub const CONTENT_BYTES: usize = BLOB_BYTES - SEAL_BYTES;
/// An encoded fragment, before a session seals it: one byte short of the blocks that a session fills. Its first messages have
/// 155 bytes more, and 11 say which session it is.
pub const FRAGMENT_BYTES: usize = HEAD_BYTES + SHARD_BYTES + 1;
/// Most fragments with text of one message. With parity there are 128.
pub const MAX_FRAGMENTS: usize = 64;
/// Longest text: 74,816 bytes.
pub const MAX_TEXT_BYTES: usize = MAX_FRAGMENTS * TEXT_BYTES_PER_PACKET;

const VERSION: u8 = 4;
const TEXT: u8 = 1;
const NOTICE: u8 = 2;
const DATA: u8 = 3;

/// What stands before text or parity.
const HEAD_BYTES: usize = 172;
const _: () = assert!(FRAGMENT_BYTES % 16 == 15 && FRAGMENT_BYTES + 155 + 11 <= CONTENT_BYTES);

/// Why bytes are not a fragment, or a text can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FragmentError {
    /// Not 1343 bytes.
    #[error("not {FRAGMENT_BYTES} bytes long")]
    Length,
    /// From another version, or not a fragment.
    #[error("unknown version {0}")]
    Version(u8),
    /// Something that this version doesn't know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// Index, counts, or length of the text that no sender makes.
    #[error("field {0} is out of range")]
    Field(&'static str),
    /// Fragments that are no message: too few, or parity that was not made from the text. The sender is
    /// at fault.
    #[error("the fragments are not of one message")]
    Apart,
    /// The caller is at fault: the text does not fit 64 packets.
    #[error("a text has at most {MAX_TEXT_BYTES} bytes, this one {found}")]
    TextTooLong {
        /// Bytes that were given.
        found: usize,
    },
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text, for who reads it.
    Text,
    /// For the program that gets it: from now on answers go where the envelope says, and what its text tells, which is
    /// one packet's at most. Its sequence is that of the next text, which it does not use up.
    Notice,
    /// Something for a program, as a part of a file. It waits for nothing and nothing waits for it: its sequence is as a
    /// notice's.
    Data,
}

/// What all fragments of a message say.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// What it is for.
    pub kind: Kind,
    /// The whole message's id; the same when it is sent again.
    pub message: MessageId,
    /// Numbers the messages from this sender to this receiver, so that gaps show.
    pub sequence: u64,
    /// The minute of the sender's clock when it took the message. What is finer does not travel:
    /// it would tell that clock from others.
    pub sent_at: Time,
    /// The minute from which on it is told to nobody; none if that is when the network's time to live is over.
    /// Not 0 minutes since the Unix epoch.
    pub expires: Option<Time>,
    /// Where answers go.
    pub reply: Sites,
}

/// Redacted.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Envelope(..)")
    }
}

/// To how many providers a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Copies {
    /// To one, with a little parity.
    One,
    /// To two, each of which gets as many fragments as the message takes.
    Two,
}

/// Into how many fragments a text is cut: its length and the copies say all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    bytes: u32,
    copies: Copies,
}

impl Shape {
    /// Of a text of so many bytes, in so many copies.
    ///
    /// # Errors
    /// [`FragmentError::TextTooLong`] above [`MAX_TEXT_BYTES`].
    pub fn of(bytes: usize, copies: Copies) -> Result<Self, FragmentError> {
        match u32::try_from(bytes) {
            Ok(short) if bytes <= MAX_TEXT_BYTES => Ok(Self {
                bytes: short,
                copies,
            }),
            _ => Err(FragmentError::TextTooLong { found: bytes }),
        }
    }

    /// Bytes of the whole text: 0 to [`MAX_TEXT_BYTES`].
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// Fragments with text, 1 to [`MAX_FRAGMENTS`]: as many as the message takes, of whatever kind.
    #[must_use]
    pub const fn count(self) -> u16 {
        // At most 64.
        match self.bytes.div_ceil(TEXT_BYTES_PER_PACKET as u32) {
            0 => 1,
            more => more as u16,
        }
    }

    /// To how many providers it goes.
    #[must_use]
    pub const fn copies(self) -> Copies {
        self.copies
    }

    /// Fragments of parity: 0 to 64.
    #[must_use]
    pub const fn extra(self) -> u16 {
        match self.copies {
            Copies::One => parity(self.count()),
            Copies::Two => self.count(),
        }
    }

    /// Fragments in all, with those of parity: 1 to 128.
    #[must_use]
    pub const fn total(self) -> u16 {
        self.count() + self.extra()
    }

    /// Whether the fragment of this index goes to the second provider.
    #[must_use]
    pub const fn is_second(self, index: u16) -> bool {
        matches!(self.copies, Copies::Two) && index >= self.count()
    }

    /// Bytes of text or parity in the fragment of this index.
    const fn part_bytes(self, index: u16) -> usize {
        let before = index as usize * TEXT_BYTES_PER_PACKET;
        if index >= self.count() {
            SHARD_BYTES
        } else if index + 1 == self.count() {
            self.bytes() - before
        } else {
            TEXT_BYTES_PER_PACKET
        }
    }
}

/// A part of a message's text, or parity of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The same in all fragments of a message.
    pub envelope: Envelope,
    /// Counts from 0; those with text come before those with parity.
    pub index: u16,
    /// The same in all fragments of a message.
    pub shape: Shape,
    /// This part of the text: [`TEXT_BYTES_PER_PACKET`] bytes, but for the last, which has at least
    /// one, unless it is the only one. Or parity: [`SHARD_BYTES`]. Zeroized on drop.
    pub part: Zeroizing<Vec<u8>>,
}

/// Redacted.
impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fragment(..)")
    }
}

impl Fragment {
    /// The bytes that a session seals, [`FRAGMENT_BYTES`] long.
    ///
    /// # Errors
    /// [`FragmentError::Field`] if index, shape and length of the part don't go together.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, FragmentError> {
        if self.index >= self.shape.total() {
            return Err(FragmentError::Field("index"));
        }
        if self.part.len() != self.shape.part_bytes(self.index) {
            return Err(FragmentError::Field("length"));
        }
        let kind = match self.envelope.kind {
            Kind::Text => TEXT,
            Kind::Notice if self.shape.count() == 1 => NOTICE,
            Kind::Notice => return Err(FragmentError::Field("length")),
            Kind::Data => DATA,
        };
        let count = self.shape.count();
        let expires = self.envelope.expires.map_or(0, Time::minutes);
        let mut writer = Writer::new(FRAGMENT_BYTES);
        writer
            .put(&[VERSION, kind])
            .put(self.envelope.message.as_bytes())
            .put(&self.index.to_be_bytes())
            .put(&count.to_be_bytes())
            .put(&self.shape.extra().to_be_bytes())
            .put(&self.envelope.sequence.to_be_bytes())
            .put(&self.envelope.sent_at.minutes().to_be_bytes())
            .put(&expires.to_be_bytes())
            .put(&self.envelope.reply.to_bytes())
            .put(&self.shape.bytes.to_be_bytes());
        debug_assert!(writer.written().len() == HEAD_BYTES);
        writer.put(&self.part);
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
        let kind = match (reader.u8(), reader.u8()) {
            (Some(VERSION), Some(TEXT)) => Kind::Text,
            (Some(VERSION), Some(NOTICE)) => Kind::Notice,
            (Some(VERSION), Some(DATA)) => Kind::Data,
            (Some(VERSION), Some(kind)) => return Err(FragmentError::Kind(kind)),
            (Some(version), _) => return Err(FragmentError::Version(version)),
            (None, _) => return Err(FragmentError::Length),
        };
        let head = Head::read(kind, &mut reader).ok_or(FragmentError::Length)?;
        let shape = head.shape()?;
        let part = reader
            .take(shape.part_bytes(head.index))
            .ok_or(FragmentError::Length)?;
        if reader.rest().iter().any(|byte| *byte != 0) {
            return Err(FragmentError::Field("padding"));
        }
        Ok(Self {
            envelope: head.envelope,
            index: head.index,
            shape,
            part: Zeroizing::new(part.to_vec()),
        })
    }
}

/// What a fragment says before its part.
struct Head {
    envelope: Envelope,
    index: u16,
    count: u16,
    extra: u16,
    bytes: u32,
}

impl Head {
    fn read(kind: Kind, reader: &mut Reader<'_>) -> Option<Self> {
        let message = MessageId::new(reader.array()?);
        let (index, count, extra) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let envelope = Envelope {
            kind,
            message,
            sequence: reader.u64()?,
            sent_at: Time::from_minutes(reader.u32()?),
            expires: Some(reader.u32()?)
                .filter(|it| *it != 0)
                .map(Time::from_minutes),
            reply: Sites::read(reader)?,
        };
        Some(Self {
            envelope,
            index,
            count,
            extra,
            bytes: reader.u32()?,
        })
    }

    /// The shape, if all that it says is said as well.
    fn shape(&self) -> Result<Shape, FragmentError> {
        let bytes = usize::try_from(self.bytes).map_err(|_| FragmentError::Field("length"))?;
        let shape = |copies| Shape::of(bytes, copies).map_err(|_| FragmentError::Field("length"));
        if self.count != shape(Copies::One)?.count() {
            return Err(FragmentError::Field("count"));
        }
        if self.envelope.kind == Kind::Notice && self.count != 1 {
            return Err(FragmentError::Field("length"));
        }
        // Of no count are the two alike.
        let shape = match self.extra == self.count {
            true => shape(Copies::Two)?,
            false => shape(Copies::One)?,
        };
        if self.extra != shape.extra() {
            return Err(FragmentError::Field("extra"));
        }
        if self.index >= shape.total() {
            return Err(FragmentError::Field("index"));
        }
        Ok(shape)
    }
}

/// Cuts a text into fragments, at least one, and adds those of parity.
///
/// # Errors
/// [`FragmentError::TextTooLong`] above [`MAX_TEXT_BYTES`].
pub fn split(
    envelope: &Envelope,
    text: &[u8],
    copies: Copies,
) -> Result<Vec<Fragment>, FragmentError> {
    let shape = Shape::of(text.len(), copies)?;
    let mut texts: Vec<&[u8]> = text.chunks(TEXT_BYTES_PER_PACKET).collect();
    // An empty text has no chunks, and still is one fragment.
    if texts.is_empty() {
        texts.push(&[]);
    }
    let more = erasure::encode(&texts, shape.extra()).ok_or(FragmentError::Apart)?;
    let parts = texts.iter().map(|part| Zeroizing::new(part.to_vec()));
    Ok((0..)
        .zip(parts.chain(more))
        .map(|(index, part)| Fragment {
            envelope: *envelope,
            index,
            shape,
            part,
        })
        .collect())
}

/// Joins the text of a message from its parts by their index: any [`Shape::count`] of them. A sender
/// whose parity is not its text's has sent as many texts as there are choices; what the parts in hand
/// say is the message.
///
/// # Errors
/// [`FragmentError::Apart`] if there are too few, one has not the length of its kind, or what they say
/// is no text of this shape.
pub fn join(
    shape: Shape,
    parts: &BTreeMap<u16, Zeroizing<Vec<u8>>>,
) -> Result<Zeroizing<Vec<u8>>, FragmentError> {
    let sound = |(index, part): (&u16, &Zeroizing<Vec<u8>>)| {
        *index < shape.total() && part.len() == shape.part_bytes(*index)
    };
    if parts.len() < usize::from(shape.count()) || !parts.iter().all(sound) {
        return Err(FragmentError::Apart);
    }
    let restored =
        erasure::restore((shape.count(), shape.extra()), parts).ok_or(FragmentError::Apart)?;
    let mut text = Zeroizing::new(Vec::with_capacity(shape.bytes()));
    for index in 0..shape.count() {
        let part = parts.get(&index).or_else(|| restored.get(&index));
        let part = part.ok_or(FragmentError::Apart)?;
        let (part, padding) = part
            .split_at_checked(shape.part_bytes(index))
            .ok_or(FragmentError::Apart)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FragmentError::Apart);
        }
        text.extend_from_slice(part);
    }
    Ok(text)
}
