//! Lines on the control socket: how long they may be, and what becomes of one that is longer or has no
//! end.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, Decoder, FramedRead};

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line; the last one may lack its end.
    Whole(Bytes),
    /// A line of more bytes than allowed. What comes of it is thrown away.
    TooLong,
}

/// Lines of a bounded length.
///
/// That a line is too long is said as a line: as an error, it would keep those that have been read
/// with it until something else is read.
pub(super) struct LineCodec(AnyDelimiterCodec);

impl LineCodec {
    /// Lines of at most `limit` bytes, their end included.
    pub(super) fn new(limit: usize) -> Self {
        let most = limit.saturating_sub(1);
        Self(AnyDelimiterCodec::new_with_max_length(
            vec![b'\n'],
            Vec::new(),
            most,
        ))
    }
}

impl Decoder for LineCodec {
    type Item = Line;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Line>> {
        line(self.0.decode(buffer))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Line>> {
        line(self.0.decode_eof(buffer))
    }
}

fn line(found: Result<Option<Bytes>, AnyDelimiterCodecError>) -> io::Result<Option<Line>> {
    match found {
        Ok(line) => Ok(line.map(Line::Whole)),
        Err(AnyDelimiterCodecError::MaxChunkLengthExceeded) => Ok(Some(Line::TooLong)),
        Err(AnyDelimiterCodecError::Io(error)) => Err(error),
    }
}

/// The lines of a stream, each of at most `limit` bytes, its end included. It never holds more than
/// about twice that. Nothing is lost if a wait for a line is given up.
pub(super) type Lines<R> = FramedRead<R, LineCodec>;

/// Reads lines.
pub(super) fn lines<R: AsyncRead>(reader: R, limit: usize) -> Lines<R> {
    FramedRead::new(reader, LineCodec::new(limit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures::StreamExt as _;
    use proptest::prelude::*;
    use tokio::io::ReadBuf;

    use super::*;

    /// Gives its bytes in pieces of at most this size.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let taken = self.1.min(self.0.len()).min(buffer.remaining());
            let (piece, rest) = self.0.split_at(taken);
            buffer.put_slice(piece);
            self.0 = rest;
            Poll::Ready(Ok(()))
        }
    }

    fn all(bytes: &[u8], piece: usize, limit: usize) -> Vec<Line> {
        let found = lines(Pieces(bytes, piece), limit).map(|line| line.unwrap());
        futures::executor::block_on(found.collect())
    }

    fn whole(bytes: &'static [u8]) -> Line {
        Line::Whole(Bytes::from_static(bytes))
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        for piece in [1, 3, 100] {
            let found = all(b"ab\nabcdef\ncd\nend", piece, 5);
            let expected = [whole(b"ab"), Line::TooLong, whole(b"cd"), whole(b"end")];
            assert_eq!(found, expected);
            assert_eq!(all(b"ab\nabcdef", piece, 5), [whole(b"ab"), Line::TooLong]);
        }
    }

    #[test]
    fn what_was_read_with_a_long_line_does_not_wait_for_more() {
        let waiting = once(b"abcdef\ncd\n");
        let mut found = lines(waiting, 5);
        let mut next = || futures::FutureExt::now_or_never(found.next()).flatten();
        assert_eq!(next().unwrap().unwrap(), Line::TooLong);
        assert_eq!(next().unwrap().unwrap(), whole(b"cd"));
        assert!(next().is_none());
    }

    #[test]
    fn a_line_without_end_holds_no_more_than_the_limit() {
        const LIMIT: usize = 1 << 16;
        let endless = tokio::io::AsyncReadExt::take(tokio::io::repeat(b'x'), 64 * LIMIT as u64);
        let mut found = lines(endless, LIMIT);
        let mut seen = Vec::new();
        let mut most = 0;
        futures::executor::block_on(async {
            while let Some(line) = found.next().await {
                most = most.max(found.read_buffer().capacity());
                seen.push(line.unwrap());
            }
        });
        most = most.max(found.read_buffer().capacity());
        assert_eq!(seen, [Line::TooLong]);
        assert!(most <= 2 * LIMIT, "{most} bytes");
    }

    /// Gives these bytes at once, and never anything more.
    fn once(bytes: &'static [u8]) -> impl AsyncRead + Unpin {
        struct Then(Option<&'static [u8]>);
        impl AsyncRead for Then {
            fn poll_read(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.0.take() {
                    Some(bytes) => {
                        buffer.put_slice(bytes);
                        Poll::Ready(Ok(()))
                    }
                    None => Poll::Pending,
                }
            }
        }
        Then(Some(bytes))
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_bytes_arrive(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            piece in 1usize..40,
            limit in 1usize..40,
        ) {
            let expected: Vec<Line> = bytes
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
                .map(|line| match line.len() >= limit {
                    true => Line::TooLong,
                    false => Line::Whole(Bytes::copy_from_slice(line)),
                })
                .collect();
            prop_assert_eq!(all(&bytes, piece, limit), expected);
        }
    }
}
