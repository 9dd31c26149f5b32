//! A state directory looked at from outside: what is wrong with it, whoever uses it now.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};

use super::dir::{LOCK_FILE, check_dir};
use super::directory::{KEY_DIR, SEAT_DIR};
use super::error::StateError;
use super::files::{PRIVATE, check_private};
use super::keys::IDENTITY_FILE;
use super::moved::NOTE_FILE;
use super::replay::LOG_DIR;

/// Files that are looked at in one folder, more than there ever are.
const MOST: usize = 4096;

/// Bytes that are free for this user on the disk of a directory.
///
/// # Errors
/// What the system says.
pub fn free_bytes(dir: &Path) -> io::Result<u64> {
    let disk = statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Whether a process has the directory locked, as one does as long as it runs there.
#[must_use]
pub fn is_held(dir: &Path) -> bool {
    let lock = File::open(dir.join(LOCK_FILE));
    // A lock for reading, for a moment and on this file alone: only who holds it keeps us from that.
    lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

/// What is wrong with a node's directory and with what is in it: that it is not there, is somebody else's, or can be
/// read by others. Each is what a node would refuse to start with.
#[must_use]
pub fn faults(dir: &Path) -> Vec<StateError> {
    if let Err(fault) = check_dir(dir) {
        return vec![fault];
    }
    let [keys, seats, logs] = [KEY_DIR, SEAT_DIR, LOG_DIR].map(|name| dir.join(name));
    let folders = [&keys, &seats, &logs].into_iter();
    let mut faults = Vec::from_iter(folders.filter_map(|folder| fault(folder, 0o700)));
    let secrets = [&keys, &seats].into_iter().flat_map(|folder| files(folder));
    let secrets = secrets.chain([dir.join(IDENTITY_FILE)]);
    faults.extend(secrets.filter_map(|path| fault(&path, PRIVATE)));
    let rest = files(&logs).into_iter().chain(files(dir));
    let rest = rest.filter(|path| path.is_file());
    faults.extend(rest.filter_map(|path| foreign(&path)));
    faults
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).take(MOST).collect()
}

/// What is wrong with the modes or the owner of a secret. What is not there is no fault of its modes.
fn fault(path: &Path, right: u32) -> Option<StateError> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    check_private(path, &metadata, right).err()
}

/// That a file which is no secret belongs to somebody else, so that a node could not write it.
fn foreign(path: &Path) -> Option<StateError> {
    fault(path, PRIVATE).filter(|fault| matches!(fault, StateError::Owner { .. }))
}

/// Folders in which a node that runs writes and which are not there. One whose state is in PostgreSQL needs none.
#[must_use]
pub fn missing_folders(dir: &Path) -> Vec<PathBuf> {
    if dir.join(NOTE_FILE).exists() {
        return Vec::new();
    }
    let folders = [KEY_DIR, LOG_DIR].map(|name| dir.join(name));
    let missing = folders.into_iter().filter(|folder| !folder.is_dir());
    missing.collect()
}

/// Writes a little in the directory and in the folders that are there, has it flushed to the disk, and removes it.
///
/// # Errors
/// What the system says of the first that fails.
pub fn try_writing(dir: &Path) -> Result<(), StateError> {
    let folders = [KEY_DIR, LOG_DIR].map(|name| dir.join(name));
    let folders = folders.iter().map(PathBuf::as_path);
    let folders = folders.filter(|folder| folder.is_dir());
    for folder in [dir].into_iter().chain(folders) {
        write_a_little(folder).map_err(StateError::io("write in", folder))?;
    }
    Ok(())
}

fn write_a_little(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".try-")
        .tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.as_file().sync_all()?;
    file.close()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{StateDir, create_identity};
    use super::*;

    #[test]
    fn what_a_node_would_refuse_is_found() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("node");
        assert!(matches!(faults(&dir)[..], [StateError::Missing { .. }]));
        StateDir::create(&dir).unwrap();
        create_identity(&dir, &mut crate::seeded().unwrap()).unwrap();
        assert!(faults(&dir).is_empty());
        try_writing(&dir).unwrap();
        assert_eq!(missing_folders(&dir).len(), 2);
        std::fs::write(dir.join(NOTE_FILE), b"shoal 1").unwrap();
        assert!(missing_folders(&dir).is_empty());
        let (keys, key) = (dir.join(KEY_DIR), dir.join(KEY_DIR).join("1.key"));
        StateDir::create(&keys).unwrap();
        std::fs::write(&key, b"secret").unwrap();
        for file in [&key, &dir.join(IDENTITY_FILE)] {
            std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        let found = faults(&dir);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found
                .iter()
                .all(|fault| fault.to_string().contains("chmod 600"))
        );
        assert_eq!(
            std::fs::read_dir(&keys).unwrap().count(),
            1,
            "nothing stays"
        );
        assert!(free_bytes(&dir).unwrap() > 0);
    }

    #[test]
    fn who_holds_a_directory_shows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        StateDir::create(&path).unwrap();
        assert!(!is_held(&path));
        let held = StateDir::open(&path).unwrap();
        assert!(is_held(&path));
        drop(held);
        assert!(!is_held(&path));
    }
}
