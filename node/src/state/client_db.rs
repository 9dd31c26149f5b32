//! What the client role asks to be kept, in one SQLite file.

use std::path::Path;

use shoal_client::{Change, Row};

use super::error::StateError;
use super::rows::{RowChange, Rows};

/// Name of the client's database in its directory.
const FILE: &str = "client.db";

/// Grows with every change of a row of the client role's.
const LAYOUT: i64 = 5;

const ADVICE: &str = "restore it from a backup, or move it away to start without contacts and messages: \
                      the key by which contacts know you stays the same";

/// What the client role asks to be kept: contacts, messages on their way, messages received.
///
/// SQLite with a write-ahead log, flushed at every change, deleted content overwritten. The caller
/// holds the lock on the directory.
#[derive(Debug)]
pub struct ClientDb(Rows);

impl ClientDb {
    /// Opens the database in this directory, or makes it.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] if it is damaged, [`StateError::Layout`] if another release wrote it,
    /// [`StateError::Mode`] and [`StateError::Owner`] if others can read it, [`StateError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        Rows::open(&dir.join(FILE), LAYOUT, ADVICE).map(Self)
    }

    /// Every row, in order.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn load(&self) -> Result<Vec<Row>, StateError> {
        let mut rows = Vec::new();
        self.0.load(|kind, key, value| {
            let table = kind
                .parse()
                .map_err(|_| format!("it has a table `{kind}`"))?;
            rows.push(Row { table, key, value });
            Ok(())
        })?;
        Ok(rows)
    }

    /// Makes all changes or none. When it returns, they survive a crash.
    ///
    /// # Errors
    /// [`StateError::Io`], on a full disk for example: nothing was changed then.
    pub fn apply(&mut self, changes: &[Change]) -> Result<(), StateError> {
        self.0.apply(changes.iter().map(|change| RowChange {
            kind: change.table.as_str(),
            key: &change.key,
            value: change.value.as_deref(),
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use shoal_client::Table;

    use super::*;

    fn put(table: Table, key: &[u8], value: &[u8]) -> Change {
        Change {
            table,
            key: key.to_vec(),
            value: Some(value.to_vec()),
        }
    }

    #[test]
    fn rows_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = ClientDb::open(dir.path()).unwrap();
        db.apply(&[
            put(Table::Inbox, b"a", b"1"),
            put(Table::Mailbox, b"a", b"2"),
        ])
        .unwrap();
        let delete = Change {
            table: Table::Inbox,
            key: b"a".to_vec(),
            value: None,
        };
        db.apply(&[delete, put(Table::Mailbox, b"a", b"3")])
            .unwrap();
        drop(db);
        let rows = ClientDb::open(dir.path()).unwrap().load().unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].table, rows[0].value.as_slice()),
            (Table::Mailbox, &b"3"[..])
        );
    }

    #[test]
    fn what_is_deleted_is_gone_from_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let text = b"the eagle lands at noon, said nobody";
        let mut db = ClientDb::open(dir.path()).unwrap();
        db.apply(&[put(Table::Inbox, b"a", text)]).unwrap();
        db.apply(&[Change {
            table: Table::Inbox,
            key: b"a".to_vec(),
            value: None,
        }])
        .unwrap();
        drop(db);
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(text.len()).any(|window| window == text));
        }
    }

    #[test]
    fn rows_of_another_release_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(ClientDb::open(dir.path()).unwrap());
        let other = rusqlite::Connection::open(dir.path().join(FILE)).unwrap();
        other.pragma_update(None, "user_version", 1).unwrap();
        drop(other);
        let error = ClientDb::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("layout 1, and this one knows 4"), "{error}");
    }

    #[test]
    fn damage_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = ClientDb::open(dir.path()).unwrap();
        for number in 0..200u32 {
            db.apply(&[put(Table::Seen, &number.to_le_bytes(), &[7; 100])])
                .unwrap();
        }
        drop(db);
        let path = dir.path().join(FILE);
        let sound = std::fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        let middle = damaged.len() / 2;
        damaged[middle..].fill(0xee);
        for bytes in [
            damaged.as_slice(),
            &sound[..5000],
            b"not a database at all, but a text",
        ] {
            std::fs::write(&path, bytes).unwrap();
            let outcome = ClientDb::open(dir.path()).and_then(|db| db.load());
            let error = outcome.unwrap_err();
            assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("backup"));
        }
    }
}
