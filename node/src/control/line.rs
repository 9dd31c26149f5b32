use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// A line, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end.
    Whole(Vec<u8>),
    /// A line of more bytes than allowed. It was read to its end and thrown away.
    TooLong,
    /// The other side closed. A line that it did not finish does not count.
    End,
}

/// Reads one line of at most `limit` bytes, its end included, and never holds more than that.
pub(super) async fn read_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    limit: usize,
) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::End);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        too_long |= line.len().saturating_add(taken) > limit;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(&available[..end.unwrap_or(taken)]);
        }
        reader.consume(taken);
        if end.is_some() {
            return Ok(if too_long {
                Line::TooLong
            } else {
                Line::Whole(line)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use tokio::io::BufReader;

    use super::*;

    fn lines(bytes: &[u8], buffer: usize, limit: usize) -> Vec<Line> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut reader = BufReader::with_capacity(buffer, bytes);
            let mut lines = Vec::new();
            loop {
                match read_line(&mut reader, limit).await.unwrap() {
                    Line::End => return lines,
                    line => lines.push(line),
                }
            }
        })
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let found = lines(b"ab\nabcdef\ncd\nunfinished", 3, 5);
        let expected = [
            Line::Whole(b"ab".to_vec()),
            Line::TooLong,
            Line::Whole(b"cd".to_vec()),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_bytes_arrive(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            buffer in 1usize..40,
            limit in 1usize..40,
        ) {
            let expected: Vec<Line> = bytes
                .split_inclusive(|byte| *byte == b'\n')
                .filter(|line| line.ends_with(b"\n"))
                .map(|line| match line.len() > limit {
                    true => Line::TooLong,
                    false => Line::Whole(line[..line.len() - 1].to_vec()),
                })
                .collect();
            prop_assert_eq!(lines(&bytes, buffer, limit), expected);
        }
    }
}
