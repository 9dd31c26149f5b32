//! Reading a file that a user named: bounded, never waiting, and only if nobody else may change it.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use thiserror::Error;

/// No configuration and no network file is larger, in bytes: a thousand genesis members fit.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Why a file's text is not taken. Each says what to do, and follows the file's name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system refused, or there is no such file.
    #[error("can't be read ({0})")]
    Io(io::Error),
    /// A directory, a device or a pipe.
    #[error("is not a regular file; name the file itself")]
    Kind,
    /// Longer than any such file.
    #[error("has more than {MAX_BYTES} bytes; no file of its kind is that large")]
    TooLarge,
    /// Not text.
    #[error("is not text in UTF-8: line {line} has the byte {byte:#04x}; save it as UTF-8")]
    NotText {
        /// Line, from 1.
        line: usize,
        /// The first byte that does not fit.
        byte: u8,
    },
    /// Others on the machine may change what a daemon does.
    #[error(
        "has mode {mode:04o}, so others on this machine may have changed it; look at what it says, \
         then run `chmod go-w` on it"
    )]
    Writable {
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner, neither we nor root, may change what a daemon does.
    #[error(
        "belongs to user {owner}, who may change it, and this process runs as user {user}; give it to \
         this one or to root with chown"
    )]
    Owner {
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
}

impl ReadError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The text of a regular file of at most [`MAX_BYTES`] that only its owner may change.
///
/// # Errors
/// Why it is not taken. A pipe or a device holds nobody up.
pub(super) fn read_text(path: &Path) -> Result<String, ReadError> {
    open(path).and_then(|(file, _)| text_of(file))
}

/// As [`read_text`], and the owner has to be who runs this, or root; root takes anybody's.
///
/// # Errors
/// Those of [`read_text`], and [`ReadError::Owner`].
pub(super) fn read_own_text(path: &Path) -> Result<String, ReadError> {
    let (file, metadata) = open(path)?;
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if user != 0 && owner != 0 && owner != user {
        return Err(ReadError::Owner { owner, user });
    }
    text_of(file)
}

fn open(path: &Path) -> Result<(File, Metadata), ReadError> {
    // Opening a pipe would wait for its writer.
    let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(no_wait).open(path);
    let file = file.map_err(ReadError::Io)?;
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::Kind);
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(ReadError::Writable { mode });
    }
    Ok((file, metadata))
}

fn text_of(file: File) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    let length = u64::try_from(read.map_err(ReadError::Io)?).unwrap_or(u64::MAX);
    if length > MAX_BYTES {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = bytes.iter().take(valid);
        ReadError::NotText {
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
            byte: bytes.get(valid).copied().unwrap_or_default(),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn what_is_no_file_of_text_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("good"), "a = 'ä'\n").unwrap();
        assert_eq!(read_text(&path("good")).unwrap(), "a = 'ä'\n");
        assert_eq!(read_own_text(&path("good")).unwrap(), "a = 'ä'\n");

        let fifo = path("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for odd in [dir.path(), &fifo, Path::new("/dev/zero")] {
            let error = read_text(odd).unwrap_err();
            assert!(matches!(error, ReadError::Kind), "{error}");
        }
        std::fs::write(path("long"), vec![b'#'; 1 << 20]).unwrap();
        read_text(&path("long")).unwrap();
        std::fs::write(path("long"), vec![b'#'; (1 << 20) + 1]).unwrap();
        let error = read_text(&path("long")).unwrap_err();
        assert!(matches!(error, ReadError::TooLarge), "{error}");

        std::fs::write(path("latin"), b"one\ntwo \xe4\n").unwrap();
        let error = read_text(&path("latin")).unwrap_err().to_string();
        assert!(error.contains("line 2 has the byte 0xe4"), "{error}");
        assert!(read_text(&path("none")).unwrap_err().is_missing());
    }

    #[test]
    fn what_others_may_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "x").unwrap();
        for (mode, refused) in [(0o600, false), (0o644, false), (0o620, true), (0o602, true)] {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read_text(&path);
            let writable =
                matches!(read, Err(ReadError::Writable { mode: found }) if found == mode);
            assert_eq!(writable, refused, "{mode:o}");
            assert_eq!(read.is_ok(), !refused, "{mode:o}");
        }
    }
}
