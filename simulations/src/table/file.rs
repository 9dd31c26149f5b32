//! Files that are complete or not there: written under a temporary name, then renamed.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Writes a file at once: whoever opens the path finds what was there before or all the bytes.
///
/// # Errors
/// What the file system says; nothing is left behind.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut pending = PendingFile::create(path)?;
    pending.file().write_all(bytes)?;
    pending.commit()
}

/// A file under its temporary name; removed when it is dropped before [`PendingFile::commit`].
#[derive(Debug)]
pub(super) struct PendingFile {
    file: NamedTempFile,
    target: PathBuf,
}

impl PendingFile {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: create_beside(path)?,
            target: path.to_owned(),
        })
    }

    pub(super) fn file(&mut self) -> &mut File {
        self.file.as_file_mut()
    }

    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.as_file().try_clone()
    }

    /// Gives the file its name, once its bytes are on the disk.
    pub(super) fn commit(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.target)?;
        Ok(())
    }
}

/// A new file `.NAME.XXXXXX.tmp` beside `path`, with a name that nobody has: several processes may
/// write at once, also on a shared volume. It is removed when it is dropped, and has the
/// permissions of any new file rather than those of a secret.
///
/// # Errors
/// What the file system says, or that the path names no file.
pub(crate) fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        write_atomically(&path, b"one").unwrap();
        let mut pending = PendingFile::create(&path).unwrap();
        pending.file().write_all(b"tw").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        drop(pending);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(write_atomically(&dir.path().join("no/x"), b"").is_err());
    }
}
