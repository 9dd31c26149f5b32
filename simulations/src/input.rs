//! Reading a file that a user named, of bounded length.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// No scenario or sweep is longer, in bytes.
pub const MAX_SCENARIO_BYTES: u64 = 16 << 20;

/// What some programs put before a text to say that it is UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, a pipe or a device, of at most so many bytes, without a byte-order mark.
///
/// # Errors
/// What the system says, that it is longer, or in which line it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut bounded = File::open(path)?.take(most.saturating_add(1));
    let length = bounded.read_to_end(&mut bytes)?;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if u64::try_from(length).unwrap_or(u64::MAX) > most {
        return Err(invalid(format!("it is longer than {most} bytes")));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = error.as_bytes().iter().take(valid);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        invalid(format!("line {line} is not text in UTF-8"))
    })?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.remove(0);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = read_text(Path::new("/dev/zero"), 1 << 10).unwrap_err();
        assert_eq!(error.to_string(), "it is longer than 1024 bytes");
        assert_eq!(read_text(Path::new("/dev/null"), 0).unwrap(), "");
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marked");
        std::fs::write(&path, "\u{feff}time,sender\n").unwrap();
        assert_eq!(read_text(&path, 1 << 10).unwrap(), "time,sender\n");
    }

    #[test]
    fn the_line_that_is_no_text_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("latin");
        std::fs::write(&path, b"a = 1\nb = '\xe4'\n").unwrap();
        let error = read_text(&path, 1 << 10).unwrap_err();
        assert_eq!(error.to_string(), "line 2 is not text in UTF-8");
    }
}
