//! What a notice tells, beside where its sender is.
//!
//! Layout: entries of kind 1, length 2 (big-endian) and as many bytes. Kind 1: ids of messages that are on the disk of
//! who tells it, 16 bytes each. Kind 2: ids of those that were read there. Other kinds are for later programs, and
//! passed over; what does not fit the layout ends it.

use shoal_proto::MessageId;
use shoal_proto::size::TEXT_BYTES_PER_PACKET;
use zeroize::Zeroizing;

const DELIVERED: u8 = 1;
const READ: u8 = 2;
const HEAD_BYTES: usize = 3;

/// Ids of messages that one notice has room for.
pub(crate) const MOST_RECEIPTS: usize = (TEXT_BYTES_PER_PACKET - 2 * HEAD_BYTES) / MessageId::BYTES;

/// What a notice tells.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Messages that are on the disk of who tells it; at most [`MOST_RECEIPTS`] with the others.
    pub(crate) delivered: Vec<MessageId>,
    /// Messages that were read there.
    pub(crate) read: Vec<MessageId>,
}

impl Note {
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::new());
        for (kind, ids) in [(DELIVERED, &self.delivered), (READ, &self.read)] {
            if ids.is_empty() {
                continue;
            }
            // What fits a packet is far below what two bytes count.
            let length = ids.len().min(MOST_RECEIPTS) * MessageId::BYTES;
            bytes.push(kind);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
            for id in ids.iter().take(MOST_RECEIPTS) {
                bytes.extend_from_slice(id.as_bytes());
            }
        }
        bytes
    }

    /// Reads as much as it understands.
    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let mut note = Self::default();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
            let [kind, high, low] = *head;
            let length = u16::from_be_bytes([high, low]).into();
            let Some((value, after)) = rest.split_at_checked(length) else {
                break;
            };
            bytes = after;
            let ids = value.as_chunks().0.iter().map(|id| MessageId::new(*id));
            match kind {
                DELIVERED => note.delivered.extend(ids),
                READ => note.read.extend(ids),
                _ => {}
            }
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(range: std::ops::Range<u8>) -> Vec<MessageId> {
        range.map(|fill| MessageId::new([fill; 16])).collect()
    }

    #[test]
    fn as_many_as_fit_a_packet_and_no_more() {
        let note = Note {
            delivered: ids(0..40),
            read: ids(40..MOST_RECEIPTS as u8),
        };
        let bytes = note.encode();
        assert!(bytes.len() <= TEXT_BYTES_PER_PACKET);
        assert!(bytes.len() + MessageId::BYTES > TEXT_BYTES_PER_PACKET);
        assert!(Note::decode(&bytes) == note);
        assert!(Note::default().encode().is_empty() && Note::decode(&[]) == Note::default());
    }

    #[test]
    fn what_a_later_program_tells_is_passed_over() {
        let note = Note {
            delivered: ids(0..2),
            read: ids(2..3),
        };
        let mut bytes = vec![9, 0, 3, 1, 2, 3];
        bytes.extend_from_slice(&note.encode());
        assert!(Note::decode(&bytes) == note);
        // It ends where it does not go on.
        bytes.extend_from_slice(&[1, 0, 17, 0]);
        assert!(Note::decode(&bytes) == note);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let note = Note::decode(&bytes);
            prop_assert!((note.delivered.len() + note.read.len()) * MessageId::BYTES <= bytes.len());
        }
    }
}
