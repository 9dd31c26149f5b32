//! Files that somebody sends, and those that are written for him: read whole, and never written over.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::control::protocol::MAX_FILE_BYTES;
use crate::{Exit, Failure};

/// By whom a file that is saved can be read.
const PRIVATE: u32 = 0o600;

/// What the file is called.
///
/// # Errors
/// [`Failure::Usage`] if that is no text, or the path leads to no file.
pub fn own_name(file: &Path) -> Result<String, Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| {
        Failure::usage(anyhow!(
            "{} has no name that can be told: give one with --name",
            file.display()
        ))
    })
}

/// What is in a file, at most [`MAX_FILE_BYTES`]. A pipe holds nobody up: what is in it is not waited for.
///
/// # Errors
/// [`Failure::Usage`] if it can't be read, or is too large.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path);
    let file = file.with_context(|| format!("can't open {}", path.display()));
    let file = file.map_err(Failure::Usage)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let most = MAX_FILE_BYTES as u64 + 1;
    let room = usize::try_from(size.min(most)).unwrap_or_default();
    // Reserved ahead, so that no copy is left behind by a buffer that grew.
    let mut content = Zeroizing::new(Vec::with_capacity(room + 1));
    let read = file.take(most).read_to_end(&mut content);
    let read = read.with_context(|| format!("can't read {}", path.display()));
    read.map_err(Failure::Usage)?;
    if content.len() > MAX_FILE_BYTES {
        return Err(Failure::usage(anyhow!(
            "{} is too large: a file has at most {MAX_FILE_BYTES} bytes; cut it first, with split for example",
            path.display()
        )));
    }
    Ok(content)
}

/// Writes a new file, whole or not at all, which only its owner can read.
///
/// # Errors
/// [`Exit::Exists`] if there is one; [`Failure::Usage`] if it can't be made, [`Failure::Failed`] if it can't be written.
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(PRIVATE)
        .open(path);
    let mut file = made.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let words = format!("{} is there already: give another name", path.display());
            Failure::other(Exit::Exists, anyhow!(words))
        }
        _ => Failure::usage(
            anyhow::Error::new(error).context(format!("can't make {}", path.display())),
        ),
    })?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // What is there of it is no file.
        let _ = std::fs::remove_file(path);
        Failure::failed(
            anyhow::Error::new(error).context(format!("can't write {}", path.display())),
        )
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nothing_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write_new(&path, b"first").unwrap();
        assert_eq!(
            write_new(&path, b"second").unwrap_err().exit(),
            Exit::Exists
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(*read(&path).unwrap(), b"first");
    }

    #[test]
    fn a_pipe_and_a_folder_hold_nobody_up() {
        use rustix::fs::{CWD, FileType, Mode};

        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(read(&pipe).is_ok_and(|content| content.is_empty()));
        assert_eq!(read(dir.path()).unwrap_err().exit(), Exit::Usage);
    }
}
