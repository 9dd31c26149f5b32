//! Files that are there whole or not at all, and secret ones that nobody else sees.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::error::StateError;

/// No secret file is larger.
pub const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Permission bits of a file that nobody else may see.
pub(super) const PRIVATE: u32 = 0o600;

/// Replaces a file, or makes it: the content goes to a new file beside it, which is flushed and
/// renamed over it. After a crash there is the old content or the new.
///
/// # Errors
/// [`StateError::Io`]; the old content is still there then.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> Result<(), StateError> {
    let renamed = write_beside(path, content, mode)?.persist(path);
    renamed.map_err(|failed| StateError::io("replace", path)(failed.error))?;
    sync_parent(path)
}

/// Makes a file that must not exist yet, as atomically as [`write_atomic`].
///
/// # Errors
/// [`StateError::Exists`], or [`StateError::Io`].
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), StateError> {
    let made = write_beside(path, content, mode)?.persist_noclobber(path);
    made.map_err(|failed| match failed.error.kind() {
        io::ErrorKind::AlreadyExists => StateError::Exists(path.to_owned()),
        _ => StateError::io("create", path)(failed.error),
    })?;
    sync_parent(path)
}

/// A flushed file in the same directory, which goes unless it gets the name.
fn write_beside(path: &Path, content: &[u8], mode: u32) -> Result<NamedTempFile, StateError> {
    let write = || -> io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new()
            .prefix(path.file_name().unwrap_or_default())
            .suffix(".new")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(parent(path))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(StateError::io("write", path))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename or a removal in the directory of this file survive a crash.
pub(super) fn sync_parent(path: &Path) -> Result<(), StateError> {
    let parent = parent(path);
    let sync = || File::open(parent)?.sync_all();
    sync().map_err(StateError::io("flush", parent))
}

/// Replaces a secret file and overwrites what was in it before. (Where the disk writes in place
/// that destroys it; elsewhere it is the best that can be done.)
///
/// # Errors
/// [`StateError::Io`]; the old content may be gone only if the new is in place.
pub fn write_secret(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let old = OpenOptions::new()
        .write(true)
        .custom_flags(no_follow())
        .open(path)
        .ok();
    write_atomic(path, content, PRIVATE)?;
    if let Some(old) = old {
        overwrite(&old).map_err(StateError::io("overwrite the former", path))?;
    }
    Ok(())
}

/// Overwrites a secret file and removes it. That it is not there is no error.
pub(super) fn remove_secret(path: &Path) -> Result<(), StateError> {
    let file = match OpenOptions::new()
        .write(true)
        .custom_flags(no_follow())
        .open(path)
    {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StateError::io("open", path)(error)),
    };
    overwrite(&file).map_err(StateError::io("overwrite", path))?;
    std::fs::remove_file(path).map_err(StateError::io("remove", path))?;
    sync_parent(path)
}

fn overwrite(mut file: &File) -> io::Result<()> {
    let length = file.metadata()?.len().min(MAX_SECRET_BYTES);
    file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)])?;
    file.sync_data()
}

/// Reads a secret file, after making sure that it is a regular file of ours that nobody else may
/// read or change.
///
/// # Errors
/// [`StateError::Missing`] with this advice if it is not there; [`StateError::Mode`],
/// [`StateError::Owner`], [`StateError::Kind`], [`StateError::Corrupt`] if it is too large.
pub fn read_secret(path: &Path, advice: &'static str) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(no_follow()).open(path);
    let mut file = file.map_err(|error| match error.raw_os_error() {
        _ if error.kind() == io::ErrorKind::NotFound => StateError::Missing {
            path: path.to_owned(),
            advice,
        },
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            StateError::Kind(path.to_owned())
        }
        _ => StateError::io("open", path)(error),
    })?;
    let metadata = file.metadata().map_err(StateError::io("look at", path))?;
    if !metadata.is_file() {
        return Err(StateError::Kind(path.to_owned()));
    }
    check_private(path, &metadata, PRIVATE)?;
    if metadata.len() > MAX_SECRET_BYTES {
        return Err(StateError::Corrupt {
            path: path.to_owned(),
            what: format!("it has {} bytes", metadata.len()),
            advice: "restore it from a backup",
        });
    }
    // Reserved ahead, so that no copy is left behind by a buffer that grew.
    let length = usize::try_from(metadata.len()).unwrap_or(0);
    let mut content = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    let mut limited = (&mut file).take(metadata.len());
    limited
        .read_to_end(&mut content)
        .map_err(StateError::io("read", path))?;
    Ok(content)
}

/// Refuses what others may read or change, and what belongs to somebody else.
pub(super) fn check_private(
    path: &Path,
    metadata: &std::fs::Metadata,
    right: u32,
) -> Result<(), StateError> {
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(StateError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StateError::Mode {
            path: path.to_owned(),
            mode,
            right,
        });
    }
    Ok(())
}

/// A link could lead a process of another user's making to a file of ours. Not blocking keeps a
/// pipe in the file's place from holding us up.
fn no_follow() -> i32 {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    i32::try_from(flags.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn secrets_round_trip_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write_secret(&path, b"first").unwrap();
        assert_eq!(mode(&path), 0o600);
        write_secret(&path, b"second").unwrap();
        assert_eq!(read_secret(&path, "").unwrap().as_slice(), b"second");
        // Nothing else is left behind.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_former_content_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (path, witness) = (dir.path().join("key"), dir.path().join("witness"));
        write_secret(&path, b"a secret").unwrap();
        std::fs::hard_link(&path, &witness).unwrap();
        write_secret(&path, b"another").unwrap();
        assert_eq!(std::fs::read(&witness).unwrap(), [0; 8]);
        std::fs::remove_file(&witness).unwrap();
        std::fs::hard_link(&path, &witness).unwrap();
        remove_secret(&path).unwrap();
        assert_eq!(std::fs::read(&witness).unwrap(), [0; 7]);
        assert!(!path.exists());
        remove_secret(&path).unwrap();
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for bits in [0o640, 0o604, 0o620, 0o666] {
            write_secret(&path, b"x").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
            let error = read_secret(&path, "").unwrap_err();
            assert!(matches!(error, StateError::Mode { mode, .. } if mode == bits));
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn links_and_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("key"), dir.path().join("link"));
        write_secret(&path, b"x").unwrap();
        symlink(&path, &link).unwrap();
        assert!(matches!(read_secret(&link, ""), Err(StateError::Kind(_))));
        assert!(matches!(
            read_secret(dir.path(), ""),
            Err(StateError::Kind(_))
        ));
        let missing = read_secret(&dir.path().join("none"), "run init").unwrap_err();
        assert!(missing.to_string().contains("run init"));
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_new(&path, b"one", 0o600).unwrap();
        assert!(matches!(
            write_new(&path, b"two", 0o600),
            Err(StateError::Exists(_))
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
