//! What commands print, and the text that they read.

use std::io::{self, Read, Write};

use anyhow::Context;
use serde::Serialize;
use shoal_node::Failure;
use tokio::sync::oneshot;

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
    written.map_err(not_written)
}

fn not_written(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Failed(anyhow::Error::new(error).context("can't write to standard output")),
    }
}

/// Prints one line for people, beside the output proper. Nobody may be there to read it.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints these bytes and nothing else.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(not_written)
}

/// The columns of the terminal that standard output is, if it is one.
pub(super) fn columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    // Some terminals don't know.
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Reads a text from standard input, which may have at most so many bytes. It is read on a thread that
/// nobody waits for, because a read can't be cancelled.
pub(super) async fn read_text(limit: usize) -> Result<String, Failure> {
    let (done, wait) = oneshot::channel();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().take(most).read_to_end(&mut bytes);
            // Who waited may be gone.
            let _ = done.send(read.map(|_| bytes));
        })
        .map_err(Failure::failed)?;
    let bytes = wait
        .await
        .map_err(Failure::failed)?
        .context("can't read the text from standard input")
        .map_err(Failure::Usage)?;
    text_of(bytes, limit)
}

/// The text that these bytes are. Their number comes first: what is too long was not read to its end.
fn text_of(bytes: Vec<u8>, limit: usize) -> Result<String, Failure> {
    check_length(bytes.len(), limit)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Usage(anyhow::anyhow!(
            "the text is not valid UTF-8: byte {at} is wrong; convert it first, with iconv for example"
        ))
    })
}

/// Refuses a text of more bytes than a message may have.
pub(super) fn check_length(bytes: usize, limit: usize) -> Result<(), Failure> {
    if bytes > limit {
        return Err(Failure::Usage(anyhow::anyhow!(
            "the text is too long: a message has at most {limit} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_in_a_character_is_too_long_and_not_invalid() {
        let text = "é".repeat(5);
        let error = |bytes: &[u8], limit| text_of(bytes.to_vec(), limit).map_err(|e| e.to_string());
        let cut = error(&text.as_bytes()[..7], 6).expect_err("too long");
        assert!(
            cut.contains("too long") && cut.contains("at most 6 bytes"),
            "{cut}"
        );
        assert_eq!(error(text.as_bytes(), 10).as_deref(), Ok("ééééé"));
        let invalid = error(b"ab\xff", 10).expect_err("not UTF-8");
        assert!(invalid.contains("byte 2"), "{invalid}");
    }
}
