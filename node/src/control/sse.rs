//! Events as they come from the daemon: the form of server-sent events that it writes, with line feeds.

use bytes::{Buf as _, Bytes, BytesMut};

use super::protocol::MAX_RESPONSE_BYTES;

/// An event is longer than the daemon writes any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Takes bytes as they come, and gives the data of events. It holds one event at most, and what has come with it.
#[derive(Default)]
pub(crate) struct Parser {
    coming: BytesMut,
    /// So many bytes of it have no line feed.
    looked: usize,
    data: Option<Vec<u8>>,
}

impl Parser {
    /// These bytes have come.
    pub(crate) fn push(&mut self, bytes: &Bytes) {
        self.coming.extend_from_slice(bytes);
    }

    /// The data of the next event that is here whole.
    ///
    /// # Errors
    /// [`TooLong`]: nothing after it makes sense.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        while let Some(length) = self.line_length()? {
            let line = self.coming.split_to(length);
            self.coming.advance(1);
            self.looked = 0;
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
            } else if let Some(value) = line.strip_prefix(b"data:") {
                let value = value.strip_prefix(b" ").unwrap_or(value);
                match &mut self.data {
                    Some(data) if data.len() + value.len() >= MAX_RESPONSE_BYTES => {
                        return Err(TooLong);
                    }
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => self.data = Some(value.to_vec()),
                }
            }
            // Other fields, and comments that only keep the connection, say nothing of interest.
        }
        Ok(None)
    }

    fn line_length(&mut self) -> Result<Option<usize>, TooLong> {
        let new = self.coming.get(self.looked..).unwrap_or_default();
        match new.iter().position(|byte| *byte == b'\n') {
            Some(at) => Ok(Some(self.looked + at)),
            None if self.coming.len() > MAX_RESPONSE_BYTES => Err(TooLong),
            None => {
                self.looked = self.coming.len();
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(piece) {
            parser.push(&Bytes::copy_from_slice(piece));
            while let Some(data) = parser.next().unwrap() {
                found.push(data);
            }
        }
        found
    }

    #[test]
    fn events_come_whole_and_comments_are_none() {
        let bytes =
            b": hello\n\nid: 1\ndata: a\n\ndata:b\r\ndata: c\r\n\r\nid: 2\n\ndata: not whole\n";
        for piece in [1, 3, 100] {
            assert_eq!(all(bytes, piece), [b"a".to_vec(), b"b\nc".to_vec()]);
        }
    }

    #[test]
    fn what_has_no_end_is_not_kept() {
        let mut parser = Parser::default();
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let refused = (0..).find(|_| {
            parser.push(&piece);
            parser.next() == Err(TooLong)
        });
        assert!(refused.unwrap() <= MAX_RESPONSE_BYTES / piece.len());
        let mut parser = Parser::default();
        let line = Bytes::from([b"data:".to_vec(), vec![b'x'; 1 << 20], b"\n".to_vec()].concat());
        let refused = (0..).find(|_| {
            parser.push(&line);
            parser.next() == Err(TooLong)
        });
        assert!(refused.unwrap() <= MAX_RESPONSE_BYTES / (1 << 20));
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_how_bytes_arrive(
            lines in proptest::collection::vec(
                prop_oneof!["data: [a-z\r]{0,9}", "", "", "id: 1", "[ -~]{0,9}"], 0..40),
            piece in 1usize..40,
        ) {
            let bytes = lines.join("\n").into_bytes();
            prop_assert_eq!(all(&bytes, piece), all(&bytes, bytes.len().max(1)));
        }
    }
}
