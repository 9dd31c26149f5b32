//! Files that are there as a whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::error::{SweepError, files};
use crate::table;

/// Writes a file under a temporary name in the same folder, makes it durable and renames it, so
/// that whoever reads `path` after a crash finds the old file, none, or all of the new one.
/// Several processes may do so at once, also on a shared volume: each has a temporary file of its
/// own, and the last rename counts.
///
/// # Errors
/// [`SweepError::Files`].
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<(), SweepError> {
    let mut file = table::create_beside(path).map_err(files("cannot write", path))?;
    let written = file
        .write_all(content)
        .and_then(|()| file.as_file().sync_all());
    written.map_err(files("cannot write", file.path()))?;
    file.persist(path)
        .map_err(|error| files("cannot write", path)(error.error))?;
    sync_folder(path)
}

/// Makes the renaming itself durable, where the system lets folders be synchronised.
fn sync_folder(path: &Path) -> Result<(), SweepError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(files("cannot write", folder))?;
    }
    Ok(())
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`SweepError::Files`].
pub(super) fn folder(path: &Path) -> Result<(), SweepError> {
    fs::create_dir_all(path).map_err(files("cannot make the folder", path))
}

/// The content of a file; `None` if there is none.
///
/// # Errors
/// [`SweepError::Files`].
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, SweepError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files("cannot read", path)(error)),
    }
}

/// Removes a file if it is there.
///
/// # Errors
/// [`SweepError::Files`].
pub(super) fn remove(path: &Path) -> Result<(), SweepError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(files("cannot remove", path)(error))
        }
        _ => Ok(()),
    }
}
