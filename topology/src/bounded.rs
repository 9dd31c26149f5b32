//! How many entries an encoded message has, before any of them is decoded.

use prost::encoding::{DecodeContext, decode_key, skip_field};

/// Whether an encoded message has at most so many fields. An empty entry takes two bytes on the wire
/// and tens of them in memory, so this is asked before anything is decoded.
pub(crate) fn has_at_most(most: usize, mut bytes: &[u8]) -> bool {
    for _ in 0..=most {
        if bytes.is_empty() {
            return true;
        }
        let skipped = decode_key(&mut bytes)
            .and_then(|(tag, kind)| skip_field(kind, tag, &mut bytes, DecodeContext::default()));
        if skipped.is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_without_decoding_them() {
        // Field 1, length 0.
        let empty = [0x0a, 0x00].repeat(100);
        assert!(has_at_most(100, &empty));
        assert!(!has_at_most(99, &empty));
        assert!(!has_at_most(100, &[0x0a, 0x05]), "cut off");
        assert!(has_at_most(0, &[]));
    }
}
