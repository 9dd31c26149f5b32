//! The state directory and its lock.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::StateError;
use super::files::{PRIVATE, check_private};

/// Name of the file that the lock is on.
pub(super) const LOCK_FILE: &str = "lock";

/// A state directory that this process alone uses, until this is dropped or the process ends in
/// any way.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Makes the directory if it is not there, with mode 0700.
    ///
    /// # Errors
    /// [`StateError::Io`]; [`StateError::Mode`] and [`StateError::Owner`] if it is there and others
    /// may look into it or it is somebody else's.
    pub fn create(path: &Path) -> Result<(), StateError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.map_err(StateError::io("create", path))?;
        let metadata = std::fs::metadata(path).map_err(StateError::io("look at", path))?;
        check_private(path, &metadata, 0o700)
    }

    /// Locks a directory that is there.
    ///
    /// # Errors
    /// [`StateError::Locked`] if another process has it, [`StateError::Mode`] and
    /// [`StateError::Owner`] if others may look into it or it is somebody else's,
    /// [`StateError::Missing`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        check_dir(path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE)
            .open(&lock_path)
            .map_err(StateError::io("open", &lock_path))?;
        // The lock is the system's: it goes with the process, however that ends.
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = lock.take(16).read_to_string(&mut text);
                let process = text.trim().parse().ok();
                return Err(StateError::Locked {
                    path: path.to_owned(),
                    process,
                });
            }
            Err(error) => return Err(StateError::io("lock", &lock_path)(error.into())),
        }
        note_holder(&mut lock).map_err(StateError::io("write", &lock_path))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// Blocks until no process has the directory locked.
    ///
    /// # Errors
    /// [`StateError::Io`]. A directory without a lock file is free.
    pub fn wait_until_free(path: &Path) -> Result<(), StateError> {
        let lock_path = path.join(LOCK_FILE);
        let lock = match File::open(&lock_path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            lock => lock.map_err(StateError::io("open", &lock_path))?,
        };
        let locked = loop {
            match flock(&lock, FlockOperation::LockShared) {
                Err(rustix::io::Errno::INTR) => {}
                locked => break locked,
            }
        };
        locked.map_err(|error| StateError::io("lock", &lock_path)(error.into()))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Whether a directory is there, and this user's alone.
pub(super) fn check_dir(path: &Path) -> Result<(), StateError> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => StateError::Missing {
            path: path.to_owned(),
            advice: "`shoal init` makes a node's directory, `shoal client init` a client's",
        },
        _ => StateError::io("look at", path)(error),
    })?;
    check_private(path, &metadata, 0o700)
}

/// Writes down who has the lock, for the error message of the next.
fn note_holder(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state");
        StateDir::create(&path).unwrap();
        let first = StateDir::open(&path).unwrap();
        let error = StateDir::open(&path).unwrap_err();
        let number = std::process::id().to_string();
        assert!(matches!(error, StateError::Locked { .. }));
        assert!(error.to_string().contains(&number), "{error}");
        drop(first);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn who_waits_until_it_is_free_waits_for_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        StateDir::create(&dir.path().join("state")).unwrap();
        let path = dir.path().join("state");
        StateDir::wait_until_free(&path).unwrap();
        let held = StateDir::open(&path).unwrap();
        let (free, told) = std::sync::mpsc::sync_channel(1);
        let waiting = path.clone();
        let waiter = std::thread::spawn(move || {
            StateDir::wait_until_free(&waiting).unwrap();
            free.send(()).unwrap();
        });
        let wait = std::time::Duration::from_millis(200);
        assert!(told.recv_timeout(wait).is_err(), "it is held");
        drop(held);
        told.recv().unwrap();
        waiter.join().unwrap();
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let error = StateDir::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
        assert!(matches!(
            StateDir::open(&dir.path().join("none")),
            Err(StateError::Missing { .. })
        ));
    }
}
