//! What the client role asks to be kept, in one SQLite file.

use std::path::Path;

use shoal_client::{Change, PeerKey, Row, Table};
use zeroize::Zeroizing;

use super::error::StateError;
use super::export::SavedLine;
use super::rows::Rows;
use super::sealed_rows::{Place, SealedRows, Under};
use crate::conversations::is_line_with;

/// Name of the client's database in its directory.
pub const FILE: &str = "client.db";

const PLACE: Place = Place {
    file: FILE,
    // Grows with every change of a row of the client role's.
    layout: 7,
    advice: "restore it from a backup, or move it away to start without contacts and messages: \
             the key by which contacts know you stays the same",
};

/// What the client role asks to be kept: contacts, messages on their way, messages received.
///
/// SQLite with a write-ahead log, flushed at every change, deleted content overwritten; sealed row by row if the client
/// is under a passphrase. The caller holds the lock on the directory.
pub struct ClientDb(SealedRows);

impl ClientDb {
    /// Opens the database in this directory, or makes it. Its rows are plain.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] if it is damaged or sealed, [`StateError::Layout`] if another release wrote it,
    /// [`StateError::Mode`] and [`StateError::Owner`] if others can read it, [`StateError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        Self::open_under(dir, None)
    }

    /// The same of one whose rows are sealed with what is in a key file.
    pub(super) fn open_under(dir: &Path, under: Under) -> Result<Self, StateError> {
        SealedRows::open(dir, &PLACE, under).map(Self)
    }

    /// The id of the key file that the rows in this directory are under, 0 for a plain one; none if there are none.
    pub(super) fn key_file(dir: &Path) -> Result<Option<u32>, StateError> {
        Rows::key_file(&dir.join(FILE), PLACE.advice)
    }

    /// Every row but the pieces of files and what was said, by table and key.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn load(&self) -> Result<Vec<Row>, StateError> {
        let mut rows = Vec::new();
        self.0.load(
            &[Table::Piece.as_str(), Table::Said.as_str()],
            |kind, key, value| {
                let table = kind
                    .parse()
                    .map_err(|_| format!("it has a table `{kind}`"))?;
                rows.push(Row { table, key, value });
                Ok(())
            },
        )?;
        if self.0.is_sealed() {
            // They lie as their hashes do.
            rows.sort_by(|a, b| (a.table.as_str(), &a.key).cmp(&(b.table.as_str(), &b.key)));
        }
        Ok(rows)
    }

    /// The value of one row, if there is one: what [`ClientDb::load`] leaves out.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        self.0.get(table.as_str(), key)
    }

    /// What was said with this contact, of these rows.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn said_with(&self, with: &PeerKey, rows: &[Row]) -> Result<Vec<SavedLine>, StateError> {
        let mut lines = Vec::new();
        for row in rows.iter().filter(|row| is_line_with(row, with)) {
            if let Some(said) = self.get(Table::Said, &row.key)? {
                lines.push(SavedLine::new(row.clone(), said));
            }
        }
        Ok(lines)
    }

    /// Whether there is such a row.
    ///
    /// # Errors
    /// [`StateError::Corrupt`], [`StateError::Io`].
    pub fn has(&self, table: Table, key: &[u8]) -> Result<bool, StateError> {
        self.0.has(table.as_str(), key)
    }

    /// Makes all changes or none. When it returns, they survive a crash.
    ///
    /// # Errors
    /// [`StateError::Io`], on a full disk for example: nothing was changed then.
    pub fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = &'a Change>,
    ) -> Result<(), StateError> {
        self.0.apply(changes.into_iter().map(|change| {
            let value = change.value.as_ref().map(|value| value.as_slice());
            (change.table.as_str(), change.key.as_slice(), value)
        }))
    }

    /// Writes every row anew, sealed in this way from now on, or plain: all at once or not at all.
    pub(super) fn reseal(&mut self, under: Under) -> Result<(), StateError> {
        self.0.reseal(under)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn put(table: Table, key: &[u8], value: &[u8]) -> Change {
        Change {
            table,
            key: key.to_vec(),
            value: Some(Zeroizing::new(value.to_vec())),
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
    fn pieces_of_files_are_read_one_at_a_time_under_every_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = ClientDb::open(dir.path()).unwrap();
        db.apply(&[put(Table::Piece, b"a", b"1"), put(Table::File, b"a", b"2")])
            .unwrap();
        let found = |db: &ClientDb| {
            let rows = db.load().unwrap();
            assert_eq!(
                rows.iter().map(|row| row.table).collect::<Vec<_>>(),
                [Table::File]
            );
            let piece = db.get(Table::Piece, b"a").unwrap();
            assert_eq!(db.get(Table::Piece, b"b").unwrap(), None);
            assert_eq!(
                [b"a", b"b"].map(|key| db.has(Table::Piece, key).unwrap()),
                [true, false]
            );
            piece.unwrap().to_vec()
        };
        assert_eq!(found(&db), b"1");
        let mut rng = crate::seeded().unwrap();
        let master = super::super::sealed::master::Master::draw(&mut rng);
        db.reseal(Some((7, master.rows(&mut rng)))).unwrap();
        assert_eq!(found(&db), b"1");
        db.reseal(None).unwrap();
        assert_eq!(found(&db), b"1");
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
        let error = ClientDb::open(dir.path()).err().unwrap().to_string();
        let known = format!("layout 1, and this one knows {}", PLACE.layout);
        assert!(error.contains(&known), "{error}");
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
            let error = outcome.err().unwrap();
            assert!(matches!(error, StateError::Corrupt { .. }), "{error}");
            assert!(error.to_string().contains("backup"));
        }
    }
}
