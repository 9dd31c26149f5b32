//! What somebody else wrote, made fit for a terminal: control characters could move the cursor, retitle
//! the window or hide text.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// A tab goes at most this far.
const TAB: usize = 8;

/// The text with what is not printable as an escape: `\r`, `\u{1b}`, and bytes that are not UTF-8 as
/// `\xff`. Line feeds and tabs stay.
pub(super) fn escaped(text: &[u8]) -> String {
    let mut visible = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\t' => visible.push(c),
                c if is_control(c) => visible.extend(c.escape_default()),
                c => visible.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing into a string can't fail.
            let _ = write!(visible, "\\x{byte:02x}");
        }
    }
    visible
}

/// The same on one line: a name, say, that is shown beside others.
pub(super) fn escaped_line(text: &str) -> String {
    escaped(text.as_bytes()).replace('\n', "\\n")
}

/// A time, from microseconds since the Unix epoch, in words; what is past what the system counts is far away.
pub(super) fn date(at_us: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(at_us));
    at.map_or_else(|| "the far future".to_owned(), httpdate::fmt_http_date)
}

/// Control characters, those that end a line somewhere, and those that reverse the direction of text.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lines, one below the other; a word if there are none.
pub(super) fn listed(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.collect();
    match lines.is_empty() {
        true => "none".to_owned(),
        false => lines.join("\n"),
    }
}

/// A line in parts of at most so many columns; whole if there is no such bound. A part has one
/// character at least.
pub(super) fn folded(line: &str, columns: Option<usize>) -> impl Iterator<Item = &str> {
    let columns = columns.unwrap_or(usize::MAX);
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut used = 0usize;
        let mut end = line.len();
        for (at, c) in line.char_indices() {
            used = used.saturating_add(width(c));
            if used > columns && at > 0 {
                end = at;
                break;
            }
        }
        let (part, more) = line.split_at(end);
        rest = (!more.is_empty()).then_some(more);
        Some(part)
    })
}

/// Columns that a character takes at most.
const fn width(c: char) -> usize {
    match c {
        '\t' => TAB,
        c if c.is_ascii() => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power_and_stay_visible() {
        assert_eq!(
            escaped("a\x1b[2Jb\r\u{9b}c\u{202e}d\u{2028}\0".as_bytes()),
            "a\\u{1b}[2Jb\\r\\u{9b}c\\u{202e}d\\u{2028}\\u{0}"
        );
        assert_eq!(escaped("Grüße,\n\tBob 🐟".as_bytes()), "Grüße,\n\tBob 🐟");
        assert_eq!(escaped(b"\xe2\x82a"), "\\xe2\\x82a");
    }

    #[test]
    fn lines_are_folded_without_loss() {
        let parts = |line, columns| Vec::from_iter(folded(line, columns));
        assert_eq!(parts("abcdef", Some(3)), ["abc", "def"]);
        assert_eq!(parts("aéé", Some(3)), ["aé", "é"]);
        assert_eq!(parts("\ta", Some(3)), ["\t", "a"]);
        assert_eq!(parts("", Some(3)), [""]);
        assert_eq!(parts("ab", Some(0)), ["a", "b"]);
        assert_eq!(parts("abcdef", None), ["abcdef"]);
    }
}
