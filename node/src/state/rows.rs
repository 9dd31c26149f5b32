//! Rows by key in SQLite.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::error::StateError;
use super::files::{PRIVATE, check_private};

/// Where SQLite keeps which key file the rows are under: in the file's head, which changes with a transaction.
const KEY_FILE: &str = "application_id";

/// The columns of a table of rows.
const COLUMNS: &str = "(
    kind TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID";

/// Rows as another key file has them, and which one, if they are written: see [`Rows::stage`].
const DROP_STAGED: &str = "DROP TABLE IF EXISTS staged; DROP TABLE IF EXISTS staged_under";

/// Rows of (kind, key, value) in an SQLite file. Whoever holds the state directory's lock is its
/// only user.
#[derive(Debug)]
pub(super) struct Rows {
    path: PathBuf,
    advice: &'static str,
    layout: i64,
    /// Which key file the rows are under; 0 for none.
    key_file: u32,
    connection: Connection,
}

/// One change; without a value, the row is deleted.
pub(super) struct RowChange<'a> {
    pub(super) kind: &'a str,
    pub(super) key: Cow<'a, [u8]>,
    pub(super) value: Option<Cow<'a, [u8]>>,
}

impl Rows {
    /// Opens the file or makes it. `layout` is that of the rows, which grows with every change of
    /// one and is kept as SQLite's `user_version`; `advice` is what to do about another one, or about
    /// damage. The rows are plain.
    pub(super) fn open(path: &Path, layout: i64, advice: &'static str) -> Result<Self, StateError> {
        Self::open_under(path, layout, 0, advice)
    }

    /// The same of rows that are sealed with what is in the key file of this id; what a new database is for.
    pub(super) fn open_under(
        path: &Path,
        layout: i64,
        key_file: u32,
        advice: &'static str,
    ) -> Result<Self, StateError> {
        let connection = open_private(path, advice)?;
        let rows = Self {
            path: path.to_owned(),
            advice,
            layout,
            key_file,
            connection,
        };
        rows.check()?;
        Ok(rows)
    }

    fn check(&self) -> Result<(), StateError> {
        let connection = &self.connection;
        let fail = |error| explain(&self.path, self.advice, error);
        if is_new(connection, &self.path, self.layout, self.advice)? {
            connection
                .execute_batch(&format!("CREATE TABLE IF NOT EXISTS rows {COLUMNS}"))
                .map_err(fail)?;
            connection
                .pragma_update(None, KEY_FILE, self.key_file.cast_signed())
                .map_err(fail)?;
            return connection
                .pragma_update(None, "user_version", self.layout)
                .map_err(fail);
        }
        match key_file_of(connection).map_err(fail)? {
            own if own == self.key_file => Ok(()),
            0 => Err(self.corrupt("it is under no key, and the key file beside it is".to_owned())),
            _ => {
                Err(self.corrupt("it is under another key than the key file beside it".to_owned()))
            }
        }
    }

    /// Every row but those of these kinds, by kind and key.
    pub(super) fn load(
        &self,
        but: &[&str],
        mut each: impl FnMut(&str, Vec<u8>, Vec<u8>) -> Result<(), String>,
    ) -> Result<(), StateError> {
        let fail = |error| explain(&self.path, self.advice, error);
        let query = "SELECT kind, key, value FROM rows ORDER BY kind, key";
        let mut statement = self.connection.prepare(query).map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let kind: String = row.get(0).map_err(fail)?;
            if but.contains(&&*kind) {
                continue;
            }
            let (key, value) = (row.get(1).map_err(fail)?, row.get(2).map_err(fail)?);
            each(&kind, key, value).map_err(|what| self.corrupt(what))?;
        }
        Ok(())
    }

    /// The value of one row, if there is one.
    pub(super) fn get(&self, kind: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let query = "SELECT value FROM rows WHERE kind = ?1 AND key = ?2";
        let look = || {
            let mut statement = self.connection.prepare_cached(query)?;
            let found = statement.query_row(params![kind, key], |row| row.get(0));
            found.optional()
        };
        look().map_err(|error| explain(&self.path, self.advice, error))
    }

    /// Whether there is such a row; its value is not read.
    pub(super) fn has(&self, kind: &str, key: &[u8]) -> Result<bool, StateError> {
        let query = "SELECT 1 FROM rows WHERE kind = ?1 AND key = ?2";
        let look = || {
            self.connection
                .prepare_cached(query)?
                .exists(params![kind, key])
        };
        look().map_err(|error| explain(&self.path, self.advice, error))
    }

    /// Makes all changes or none; when it returns, they survive a crash.
    pub(super) fn apply<'a>(
        &mut self,
        changes: impl IntoIterator<Item = RowChange<'a>>,
    ) -> Result<(), StateError> {
        let transaction = self.connection.transaction();
        let write = |transaction: rusqlite::Transaction<'_>| {
            for change in changes {
                match change.value {
                    Some(value) => transaction
                        .prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3)")?
                        .execute(params![change.kind, &*change.key, &*value])?,
                    None => transaction
                        .prepare_cached("DELETE FROM rows WHERE kind = ?1 AND key = ?2")?
                        .execute(params![change.kind, &*change.key])?,
                };
            }
            transaction.commit()
        };
        transaction
            .and_then(write)
            .map_err(|error| explain(&self.path, self.advice, error))
    }

    /// Writes every row anew, as another key file has it, each with its value: all at once or not at all. Nothing of
    /// before stays in the files, as far as SQLite knows.
    pub(super) fn rewrite<'a>(
        &mut self,
        key_file: u32,
        rows: impl IntoIterator<Item = RowChange<'a>>,
    ) -> Result<(), StateError> {
        let transaction = self.connection.transaction();
        let write = |transaction: rusqlite::Transaction<'_>| {
            transaction.execute("DELETE FROM rows", [])?;
            for row in rows {
                transaction
                    .prepare_cached("INSERT INTO rows VALUES (?1, ?2, ?3)")?
                    .execute(params![row.kind, &*row.key, row.value.as_deref()])?;
            }
            transaction.pragma_update(None, KEY_FILE, key_file.cast_signed())?;
            transaction.commit()
        };
        let fail = |error| explain(&self.path, self.advice, error);
        transaction.and_then(write).map_err(fail)?;
        self.key_file = key_file;
        self.empty_log()
    }

    /// Writes every row once more beside, as the key file of this id has it. It counts once [`Rows::settle`] is told that
    /// this key file does, and is gone if that hears of another. All at once or not at all.
    pub(super) fn stage(
        &mut self,
        key_file: u32,
        mut each: impl FnMut(&str, Vec<u8>, Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), String>,
    ) -> Result<(), StateError> {
        let transaction = self.connection.transaction();
        let write = |transaction: rusqlite::Transaction<'_>| {
            transaction.execute_batch(&format!(
                "{DROP_STAGED}; CREATE TABLE staged {COLUMNS};
                CREATE TABLE staged_under (key_file INTEGER NOT NULL) STRICT"
            ))?;
            transaction.execute("INSERT INTO staged_under VALUES (?1)", [key_file])?;
            {
                // One after the other: there may be more than fits into memory.
                let mut rows = transaction.prepare("SELECT kind, key, value FROM rows")?;
                let mut insert = transaction.prepare("INSERT INTO staged VALUES (?1, ?2, ?3)")?;
                let mut rows = rows.query([])?;
                while let Some(row) = rows.next()? {
                    let kind: String = row.get(0)?;
                    match each(&kind, row.get(1)?, row.get(2)?) {
                        Ok((key, value)) => insert.execute(params![kind, key, value])?,
                        Err(what) => return Ok(Some(what)),
                    };
                }
            }
            transaction.commit()?;
            Ok(None)
        };
        let outcome = transaction.and_then(write);
        match outcome.map_err(|error| explain(&self.path, self.advice, error))? {
            None => Ok(()),
            Some(what) => Err(self.corrupt(what)),
        }
    }

    /// The key file of this id counts: what was staged for it takes the place of the rows, all at once, and what was staged
    /// for another is gone. Needs no key. Nothing if there is no file or nothing was staged.
    pub(super) fn settle(
        path: &Path,
        key_file: u32,
        advice: &'static str,
    ) -> Result<(), StateError> {
        if !path.exists() {
            return Ok(());
        }
        let work = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            let query = "SELECT 1 FROM sqlite_schema WHERE name = 'staged_under'";
            if !transaction.prepare(query)?.exists([])? {
                return Ok(());
            }
            let query = "SELECT key_file FROM staged_under";
            let staged: u32 = transaction.query_row(query, [], |row| row.get(0))?;
            if staged == key_file && key_file_of(&transaction)? != key_file {
                transaction.execute_batch(
                    "DROP TABLE rows; ALTER TABLE staged RENAME TO rows; DROP TABLE staged_under",
                )?;
                transaction.pragma_update(None, KEY_FILE, key_file.cast_signed())?;
            } else {
                transaction.execute_batch(DROP_STAGED)?;
            }
            transaction.commit()?;
            empty_log(connection)
        };
        let mut connection = open_private(path, advice)?;
        work(&mut connection).map_err(|error| explain(path, advice, error))
    }

    /// What was deleted is still in the log; then it is not.
    pub(super) fn empty_log(&self) -> Result<(), StateError> {
        empty_log(&self.connection).map_err(|error| explain(&self.path, self.advice, error))
    }

    /// Which key file the rows in a database are under, if there is one.
    pub(super) fn key_file(path: &Path, advice: &'static str) -> Result<Option<u32>, StateError> {
        if !path.exists() {
            return Ok(None);
        }
        let look = || {
            let connection = Connection::open(path)?;
            prepare(&connection)?;
            key_file_of(&connection)
        };
        look()
            .map(Some)
            .map_err(|error| explain(path, advice, error))
    }

    pub(super) fn corrupt(&self, what: String) -> StateError {
        StateError::Corrupt {
            path: self.path.clone(),
            what,
            advice: self.advice,
        }
    }
}

fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn key_file_of(connection: &Connection) -> rusqlite::Result<u32> {
    // SQLite keeps it as a number with a sign.
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    Ok(id.cast_unsigned())
}

/// Opens an SQLite file that only this user sees, or makes it. Whoever holds the state directory's lock is its only user.
fn open_private(path: &Path, advice: &'static str) -> Result<Connection, StateError> {
    // SQLite gives its other files the mode of this one.
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE);
    let file = file.open(path).map_err(StateError::io("open", path))?;
    let metadata = file.metadata().map_err(StateError::io("look at", path))?;
    check_private(path, &metadata, PRIVATE)?;
    drop(file);
    let fail = |error| explain(path, advice, error);
    let connection = Connection::open(path).map_err(fail)?;
    prepare(&connection).map_err(fail)?;
    Ok(connection)
}

/// Whether nothing was made in this database yet. It is undamaged, and else of the layout `known`.
fn is_new(
    connection: &Connection,
    path: &Path,
    known: i64,
    advice: &'static str,
) -> Result<bool, StateError> {
    let fail = |error| explain(path, advice, error);
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .optional()
        .map_err(fail)?
        .unwrap_or_default();
    if found != "ok" {
        return Err(StateError::Corrupt {
            path: path.to_owned(),
            what: found,
            advice,
        });
    }
    let layout: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(fail)?;
    match layout {
        0 => Ok(true),
        own if own == known => Ok(false),
        found => Err(StateError::Layout {
            path: path.to_owned(),
            found,
            known,
            advice,
        }),
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // One user only: no shared memory file, and nobody reads what we are about to delete.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))
}

/// What went wrong, and what to do about damage.
fn explain(path: &Path, advice: &'static str, error: rusqlite::Error) -> StateError {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => StateError::Corrupt {
            path: path.to_owned(),
            what: error.to_string(),
            advice,
        },
        _ => StateError::io("use the database", path)(std::io::Error::other(error)),
    }
}
