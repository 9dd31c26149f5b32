//! What commands print, and the text that they read.

use std::io::{self, Read, Write};

use anyhow::Context;
use serde::Serialize;
use shoal_node::Failure;

/// Prints to standard output: an object with `--json`, else the words.
pub(super) fn show<T: Serialize>(json: bool, value: &T, words: &str) -> Result<(), Failure> {
    let line = if json {
        to_json(value)?
    } else {
        words.trim_end().to_owned()
    };
    print(&line)
}

/// One JSON object on a line.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::failed)
}

/// Prints one line, at once.
pub(super) fn print(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Failed(anyhow::Error::new(error).context("can't write to standard output")),
    })
}

/// Prints one line for people, beside the output proper. Nobody may be there to read it.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Reads a text from standard input, which may have at most so many bytes.
pub(super) fn read_text(limit: usize) -> Result<String, Failure> {
    let mut text = String::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin()
        .lock()
        .take(most)
        .read_to_string(&mut text)
        .context("can't read the text from standard input")
        .map_err(Failure::Usage)?;
    check_length(&text, limit)?;
    Ok(text)
}

/// Refuses a text of more bytes than a message may have.
pub(super) fn check_length(text: &str, limit: usize) -> Result<(), Failure> {
    if text.len() > limit {
        return Err(Failure::Usage(anyhow::anyhow!(
            "the text is too long: a message has at most {limit} bytes"
        )));
    }
    Ok(())
}

/// What somebody else wrote, made fit for a terminal: control characters could move the cursor,
/// retitle the window or hide text.
pub(super) fn harmless(text: &str) -> String {
    let visible = |c: char| {
        if c == '\n' || c == '\t' || !is_control(c) {
            c
        } else {
            '\u{fffd}'
        }
    };
    text.chars().map(visible).collect()
}

/// Control characters, and those that reverse the direction of text.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_power() {
        assert_eq!(
            harmless("a\x1b[2Jb\r\u{9b}c\u{202e}d"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d"
        );
        assert_eq!(harmless("Grüße,\n\tBob 🐟"), "Grüße,\n\tBob 🐟");
    }
}
