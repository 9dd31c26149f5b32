//! What is inside the seal, or the outer layer in it: a message of a session, and which session that is.
//!
//! Layout (1524 bytes): kind 1 (1 for a message that may be the first of its session, 2 for a later one), tag of the session 8, length
//! 2, the message, zeros. A first message has 1498 bytes, a later one 1392 or a few more: inside, both look alike from outside.

use shoal_packet::fragment::CONTENT_BYTES;
use zeroize::Zeroizing;

use super::ratchet::Sealed;
use super::tag::Tag;
use crate::rows::TAG_BYTES;

const FIRST: u8 = 1;
const LATER: u8 = 2;

/// Fills the room inside a seal. None if the message is longer than any is.
pub(super) fn encode(tag: &Tag, first: bool, message: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::with_capacity(CONTENT_BYTES));
    content.push(if first { FIRST } else { LATER });
    content.extend_from_slice(tag.as_bytes());
    content.extend_from_slice(&u16::try_from(message.len()).ok()?.to_be_bytes());
    content.extend_from_slice(message);
    if content.len() > CONTENT_BYTES {
        return None;
    }
    content.resize(CONTENT_BYTES, 0);
    Some(content)
}

/// Reads it. None for what no client makes.
pub(super) fn decode(content: &[u8]) -> Option<(Tag, Sealed)> {
    let (kind, rest) = content.split_first()?;
    let first = match *kind {
        FIRST => true,
        LATER => false,
        _ => return None,
    };
    let (tag, rest) = rest.split_first_chunk::<TAG_BYTES>()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (message, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    if content.len() != CONTENT_BYTES || rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some((Tag::new(*tag), Sealed::parse(first, message)?))
}
