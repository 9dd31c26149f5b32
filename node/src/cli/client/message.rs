//! A message that was received, as it is printed.

use anyhow::Context as _;
use data_encoding::BASE64;
use shoal_node::Failure;
use shoal_node::control::protocol::Received;

use crate::cli::text::{escaped, escaped_line, folded};

/// What stands before each line of a text, and of what is folded; no other line begins with either.
const TEXT: &str = "| ";
const FOLDED: &str = ": ";

/// For people: who wrote, and the text, each line of it marked, so that no text
/// can look like another message. `width` is that of the terminal, if it is one: longer lines would be
/// folded there, and go on without a mark.
pub(super) fn in_words(message: &Received, width: Option<usize>) -> Result<String, Failure> {
    // The daemon's own words: a key, and what the user calls who has it.
    let [from, name] = [&message.from, &message.name].map(|text| escaped_line(text));
    let who = match (name.is_empty(), message.verified) {
        (true, _) => from,
        (false, true) => format!("{name} (verified)"),
        (false, false) => format!("{name} (not verified)"),
    };
    let mut words = format!("from       {who}\n");
    match message.gap_before {
        0 => {}
        1 => words.push_str("missing    the message before this one has not come\n"),
        gap => words.push_str(&format!(
            "missing    {gap} messages before this one have not come\n"
        )),
    }
    words.push('\n');
    words.push_str(&marked(&raw(message)?, width));
    Ok(words)
}

/// A text for people, each line of it marked. `width` as above.
pub(super) fn marked(text: &[u8], width: Option<usize>) -> String {
    let (text, mut words) = (escaped(text), String::new());
    let room = width.map(|width| width.saturating_sub(TEXT.len()));
    for line in text.split('\n') {
        for (index, part) in folded(line, room).enumerate() {
            words.push_str(if index == 0 { TEXT } else { FOLDED });
            words.push_str(part);
            words.push('\n');
        }
    }
    words
}

/// The text as it was sent.
pub(super) fn raw(message: &Received) -> Result<Vec<u8>, Failure> {
    bytes(&message.text, message.bytes.as_ref())
}

/// A text as it was sent, which is in base64 if it is not UTF-8.
pub(super) fn bytes(text: &str, raw: Option<&String>) -> Result<Vec<u8>, Failure> {
    match raw {
        None => Ok(text.as_bytes().to_vec()),
        Some(bytes) => BASE64
            .decode(bytes.as_bytes())
            .context("the client daemon's answer makes no sense")
            .map_err(Failure::Failed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn received(text: &[u8]) -> Received {
        let bytes = std::str::from_utf8(text)
            .is_err()
            .then(|| BASE64.encode(text));
        Received {
            cursor: 1,
            message: "m".into(),
            from: "key".into(),
            name: String::new(),
            verified: false,
            expires_at_us: None,
            text: String::from_utf8_lossy(text).into_owned(),
            bytes,
            sequence: 7,
            gap_before: 0,
            sent_at_us: 1,
            received_at_us: 2,
            hops: Vec::new(),
        }
    }

    #[test]
    fn no_text_looks_like_a_message() {
        let inner = in_words(&received(b"inner"), None).unwrap();
        let spaces = " ".repeat(38);
        let breaks = [
            "\n", "\r\n", "\r", "\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{c}", &spaces,
        ];
        for line_break in breaks {
            let text = format!("x{line_break}{}", inner.replace('\n', line_break));
            let words = in_words(&received(text.as_bytes()), Some(40)).unwrap();
            let lines: Vec<&str> = words.lines().collect();
            assert_eq!(
                lines
                    .iter()
                    .filter(|line| line.starts_with("from "))
                    .count(),
                1
            );
            for line in &lines[2..] {
                assert!(line.starts_with("| ") || line.starts_with(": "), "{line:?}");
                assert!(line.chars().count() <= 40, "{line:?}");
            }
        }
    }

    #[test]
    fn what_is_no_text_is_visible_and_comes_out_raw() {
        let bytes = b"a\xff\r\x1b[2Jb";
        let message = received(bytes);
        assert_eq!(raw(&message).unwrap(), bytes);
        let words = in_words(&message, None).unwrap();
        assert!(words.ends_with("\n\n| a\\xff\\r\\u{1b}[2Jb\n"), "{words}");
    }
}
