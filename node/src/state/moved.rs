//! A note in a node's directory that its state is in PostgreSQL, so that no two states of one node are ever used.
//!
//! It is there before the state is, and for good. It has the number of the last takeover by which this directory's node
//! had the state: a database that knows of fewer was put back to what it was before.

use std::path::Path;

#[cfg(feature = "postgres")]
use super::directory::{FILE, KEY_DIR, SEAT_DIR, file_names};
use super::error::StateError;
#[cfg(any(test, feature = "postgres"))]
use super::files::{PRIVATE, write_atomic};
#[cfg(feature = "postgres")]
use super::replay::LOG_DIR;

/// Its name.
pub(super) const NOTE_FILE: &str = "state-in-postgres";

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// The schema.
    pub(super) schema: String,
    /// The number of the last takeover; none while files are being brought there, which count until then.
    pub(super) takeover: Option<i64>,
}

impl Note {
    /// The note of a directory, if there is one.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StateError> {
        let path = dir.join(NOTE_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::io("read", &path)(error)),
        };
        let note = Self::parse(&text).ok_or_else(|| StateError::Corrupt {
            path,
            what: "it is no note of a schema and a number".to_owned(),
            advice: "write the schema (storage.postgres_schema), a space and 0 into it",
        })?;
        Ok(Some(note))
    }

    fn parse(text: &str) -> Option<Self> {
        let (schema, takeover) = text.trim_end().split_once(' ')?;
        let takeover = match takeover {
            "begun" => None,
            number => Some(number.parse().ok()?),
        };
        Some(Self {
            schema: schema.to_owned(),
            takeover,
        })
    }

    #[cfg(any(test, feature = "postgres"))]
    pub(super) fn write(&self, dir: &Path) -> Result<(), StateError> {
        let takeover = match self.takeover {
            Some(number) => number.to_string(),
            None => "begun".to_owned(),
        };
        let text = format!("{} {takeover}\n", self.schema);
        write_atomic(&dir.join(NOTE_FILE), text.as_bytes(), PRIVATE)
    }
}

/// Refuses a directory whose state is in PostgreSQL, for a node that would keep it in files.
///
/// # Errors
/// [`StateError::Place`], or what keeps the note from being read.
pub fn check_is_in_files(dir: &Path) -> Result<(), StateError> {
    let Some(note) = Note::read(dir)? else {
        return Ok(());
    };
    Err(StateError::Place(format!(
        "{}: the keys, replay tags and votes of this node are in PostgreSQL, in the schema {}, and it is set to keep them in \
         files: set storage.engine = \"postgres\" again. There is no way back but to have the node leave the network \
         (SIGTERM), wait until the seats of its term are over, and remove that file: it begins anew then, and its mailboxes \
         are empty (docs/operators.md, Mailboxes in PostgreSQL)",
        dir.join(NOTE_FILE).display(),
        note.schema
    )))
}

/// Whether a directory has state in files.
#[cfg(feature = "postgres")]
pub(super) fn has_files(dir: &Path) -> Result<bool, StateError> {
    if dir.join(FILE).exists() {
        return Ok(true);
    }
    for folder in [KEY_DIR, SEAT_DIR, LOG_DIR] {
        let folder = dir.join(folder);
        if folder.is_dir() && !file_names(&folder)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Overwrites and removes the state in files, but for what is no secret and the same everywhere.
#[cfg(feature = "postgres")]
pub(super) fn remove_files(dir: &Path) -> Result<(), StateError> {
    use super::files::{remove_secret, sync_parent};
    for folder in [KEY_DIR, SEAT_DIR] {
        let folder = dir.join(folder);
        if folder.is_dir() {
            for name in file_names(&folder)? {
                remove_secret(&folder.join(name))?;
            }
        }
    }
    let remove = |path: std::path::PathBuf| match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StateError::io("remove", &path)(error))
        }
        _ => Ok(()),
    };
    let logs = dir.join(LOG_DIR);
    if logs.is_dir() {
        for name in file_names(&logs)? {
            remove(logs.join(name))?;
        }
    }
    for name in [
        FILE.to_owned(),
        format!("{FILE}-wal"),
        format!("{FILE}-shm"),
    ] {
        remove(dir.join(name))?;
    }
    sync_parent(&dir.join(FILE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_directory_whose_state_is_elsewhere_is_not_used_alone() {
        let dir = tempfile::tempdir().unwrap();
        check_is_in_files(dir.path()).unwrap();
        for takeover in [None, Some(7)] {
            let schema = "shoal".to_owned();
            let note = Note { schema, takeover };
            note.write(dir.path()).unwrap();
            assert_eq!(Note::read(dir.path()).unwrap(), Some(note));
            let error = check_is_in_files(dir.path()).unwrap_err().to_string();
            assert!(error.contains("storage.engine"), "{error}");
        }
        std::fs::write(dir.path().join(NOTE_FILE), "shoal\n").unwrap();
        assert!(check_is_in_files(dir.path()).is_err());
    }
}
