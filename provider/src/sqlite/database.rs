//! The file: how it is opened, what makes it ours, and what its errors mean.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags, OptionalExtension};

use super::options::SqliteOptions;
use crate::seal::Unsealed;
use crate::store::{Freed, Usage};
use crate::{StoreError, StoreKey};

/// Marks a file as ours: "Shol".
const APPLICATION: i64 = 0x5368_6f6c;
/// Grows with every change of the tables.
const VERSION: i64 = 4;

pub(super) const SCHEMA: &str = "
-- What tells the key that all is sealed with from others. In what follows, a mailbox is found by a keyed hash of its owner's
-- key, a drop id by one of itself, and what is sealed is so under the mailbox' own key.
CREATE TABLE seal (
    one INTEGER PRIMARY KEY,
    store BLOB NOT NULL
) STRICT;
CREATE TABLE mailboxes (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    -- Its own key, sealed under the store's, and its owner's key, sealed under that.
    sealed BLOB NOT NULL,
    -- NULL until the owner's first command. Numbers of 64 bits are kept by their bits.
    generation INTEGER,
    window_highest INTEGER NOT NULL DEFAULT 0,
    window_bits INTEGER NOT NULL DEFAULT 0,
    window_refused INTEGER NOT NULL DEFAULT 0,
    stream INTEGER NOT NULL DEFAULT 0,
    -- Full hours.
    created_us INTEGER NOT NULL,
    used_us INTEGER NOT NULL,
    next_entry INTEGER NOT NULL DEFAULT 1,
    waiting INTEGER NOT NULL DEFAULT 0,
    remembered INTEGER NOT NULL DEFAULT 0,
    -- Acknowledged in this step: their room is not free before the next.
    freed INTEGER NOT NULL DEFAULT 0,
    freed_step INTEGER NOT NULL DEFAULT 0,
    sets INTEGER NOT NULL DEFAULT 0,
    -- By its owner, for good.
    closed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX mailboxes_used ON mailboxes (used_us) WHERE waiting = 0 AND remembered = 0;
-- Those that nothing was ever put into, and whose owner has not come back after an hour: the second after that in
-- which it was opened.
CREATE INDEX mailboxes_unused ON mailboxes (used_us) WHERE next_entry = 1 AND used_us < created_us + 7200000000;
CREATE INDEX mailboxes_closed ON mailboxes (used_us) WHERE closed = 1 AND waiting = 0;
-- Sets of drop ids, by the secret that the ids follow from.
CREATE TABLE sets (
    id INTEGER PRIMARY KEY,
    mailbox INTEGER NOT NULL,
    -- Sealed.
    secret BLOB NOT NULL,
    size INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sets_secret ON sets (mailbox, secret);
-- Every drop id by a keyed hash of eight bytes: most are never used, and there are 256 to a mailbox. Whether
-- it is the whole id, its set and number say.
CREATE TABLE names (
    tag INTEGER PRIMARY KEY,
    set_id INTEGER NOT NULL,
    number INTEGER NOT NULL
) STRICT;
-- What a mailbox has, side by side, so that an acknowledgement changes one page for all of it. A row with a positive
-- number is the entry with this number, which waits; with a negative one, it is the drop id of the opposite number:
-- 256 times its set, and its number there. There is one for each drop id that was used, or revoked.
CREATE TABLE contents (
    mailbox INTEGER NOT NULL,
    number INTEGER NOT NULL,
    -- Of an entry.
    drop_id INTEGER,
    blob_id INTEGER,
    expires_us INTEGER,
    -- Of a drop id.
    revoked INTEGER,
    waiting INTEGER,
    remembered INTEGER,
    freed INTEGER,
    freed_step INTEGER,
    PRIMARY KEY (mailbox, number)
) STRICT, WITHOUT ROWID;
-- The names of all entries until they expire: of those that wait, and of those that were acknowledged. Which of both, it
-- says nowhere here, so that an acknowledgement changes nothing.
CREATE TABLE messages (
    drop_id INTEGER NOT NULL,
    -- Sealed, and found so.
    message BLOB NOT NULL,
    mailbox INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    -- That of the blob, also when the blob is gone.
    id INTEGER NOT NULL,
    PRIMARY KEY (drop_id, message)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_entry ON messages (drop_id, entry);
CREATE INDEX messages_expiry ON messages (expires_us, id);
-- What waits, in the order in which it came.
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message BLOB NOT NULL,
    blob BLOB NOT NULL
) STRICT;
-- The names of tokens that were spent, until they would not count any more.
CREATE TABLE spent (
    name BLOB PRIMARY KEY,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX spent_expiry ON spent (expires_us, name);
";

pub(super) fn open(options: &SqliteOptions) -> Result<Connection, StoreError> {
    create_file(&options.path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&options.path, flags).map_err(failure)?;
    connection
        .busy_timeout(options.patience.into())
        .map_err(failure)?;
    // One process, and no shared memory beside the file.
    connection
        .pragma_update(None, "locking_mode", "EXCLUSIVE")
        .map_err(failure)?;
    connection
        .pragma_update(None, "trusted_schema", "OFF")
        .map_err(failure)?;
    let new = recognise(&connection)?;
    configure(&connection, options)?;
    if new {
        create_schema(&connection, &options.key)?;
    }
    check(&connection)?;
    check_key(&connection, &options.key)?;
    Ok(connection)
}

/// SQLite would make it readable for others, as far as the process's mask allows.
fn create_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::AlreadyExists => Ok(()),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Err(StoreError::DiskFull),
            ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::ReadOnlyFilesystem => Err(StoreError::Permission(error.to_string())),
            _ => Err(StoreError::Io(error.to_string())),
        },
    }
}

/// Whether the file is empty. Neither that nor ours is an error; nothing is written.
pub(super) fn recognise(connection: &Connection) -> Result<bool, StoreError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let objects = number("SELECT count(*) FROM sqlite_schema").map_err(foreign)?;
    let application = number("PRAGMA application_id").map_err(foreign)?;
    let version = number("PRAGMA user_version").map_err(foreign)?;
    match (objects, application, version) {
        (0, 0, 0) => Ok(true),
        (_, APPLICATION, VERSION) => Ok(false),
        (_, APPLICATION, found) => Err(StoreError::Version {
            found,
            known: VERSION,
        }),
        _ => Err(StoreError::Foreign(
            "a database of another program".to_owned(),
        )),
    }
}

fn configure(connection: &Connection, options: &SqliteOptions) -> Result<(), StoreError> {
    let set = |name: &str, value: &dyn rusqlite::ToSql| {
        connection
            .pragma_update_and_check(None, name, value, |_| Ok(()))
            .or_else(|error| {
                // Some pragmas answer with a row and some do not.
                if matches!(error, Error::QueryReturnedNoRows) {
                    Ok(())
                } else {
                    Err(failure(error))
                }
            })
    };
    set("journal_mode", &"WAL")?;
    set("synchronous", &"FULL")?;
    set("secure_delete", &"ON")?;
    set("cell_size_check", &"ON")?;
    set("temp_store", &"MEMORY")?;
    // A negative number is in KiB.
    set("cache_size", &-2048)?;
    set("journal_size_limit", &(16_i64 << 20))?;
    // In pages: 16 MiB. An acknowledgement writes a dozen pages of a large database, so a group of them reaches SQLite's
    // own 1000, and each group would wait for the log to be folded.
    set("wal_autocheckpoint", &4000)?;
    // Or SQLite looks at what is bound to a statement with a join, and compiles it again for each other value: that took
    // longer than all that the statement does.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(failure)?;
    // There are more statements than rusqlite keeps by itself.
    connection.set_prepared_statement_cache_capacity(64);
    if let Some(pages) = options.max_pages {
        set("max_page_count", &i64::from(pages))?;
    }
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(failure)?;
    if mode == "wal" {
        Ok(())
    } else {
        Err(StoreError::Io(format!(
            "the file system does not support SQLite's WAL, only {mode}"
        )))
    }
}

fn create_schema(connection: &Connection, key: &StoreKey) -> Result<(), StoreError> {
    let sql =
        format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; {SCHEMA}");
    let transaction = connection.unchecked_transaction().map_err(failure)?;
    transaction.execute_batch(&sql).map_err(failure)?;
    transaction
        .execute(
            "INSERT INTO seal (one, store) VALUES (1, ?1)",
            [key.check()],
        )
        .map_err(failure)?;
    transaction.commit().map_err(failure)
}

/// Before anything is written: with another key, all would be found missing.
pub(super) fn check_key(connection: &Connection, key: &StoreKey) -> Result<(), StoreError> {
    let found: Vec<u8> = connection
        .query_row("SELECT store FROM seal", [], |row| row.get(0))
        .map_err(|error| match error {
            Error::QueryReturnedNoRows => StoreError::Corrupt("it has no seal".to_owned()),
            other => failure(other),
        })?;
    match found == key.check() {
        true => Ok(()),
        false => Err(StoreError::Key),
    }
}

/// A column that can't be opened.
pub(super) fn unsealed(error: Unsealed) -> Error {
    FromSqlError::Other(error.into()).into()
}

/// A small database is checked whole, which takes milliseconds. In a large one, damage shows when
/// a damaged page is read.
fn check(connection: &Connection) -> Result<(), StoreError> {
    const SMALL_PAGES: i64 = 4096;
    let pages: i64 = connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .map_err(failure)?;
    if pages > SMALL_PAGES {
        return Ok(());
    }
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(failure)?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupt(verdict))
    }
}

pub(super) fn usage(connection: &Connection) -> Result<Usage, StoreError> {
    connection
        .query_row(
            "SELECT count(*), coalesce(sum(waiting), 0), coalesce(sum(remembered), 0) \
             FROM mailboxes",
            [],
            |row| {
                Ok(Usage {
                    mailboxes: row.get::<_, i64>(0)?.cast_unsigned(),
                    entries: row.get::<_, i64>(1)?.cast_unsigned(),
                    remembered: row.get::<_, i64>(2)?.cast_unsigned(),
                })
            },
        )
        .map_err(|error| match failure(error) {
            StoreError::Bug(text) => StoreError::Corrupt(text),
            other => other,
        })
}

/// The entries of all mailboxes whose room is not free yet, as of the last step that is known.
pub(super) fn freed(connection: &Connection) -> Result<Freed, StoreError> {
    connection
        .query_row(
            // Two scans, and nothing sorted: there may be millions.
            "SELECT freed_step, sum(freed) FROM mailboxes \
             WHERE freed_step = (SELECT max(freed_step) FROM mailboxes) GROUP BY freed_step",
            [],
            |row| {
                let (step, count): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(Freed::from_parts(
                    step.cast_unsigned(),
                    count.cast_unsigned(),
                ))
            },
        )
        .optional()
        .map(Option::unwrap_or_default)
        .map_err(failure)
}

/// Writes a page, and changes nothing.
pub(super) fn touch(connection: &Connection) -> Result<(), StoreError> {
    connection
        .pragma_update(None, "user_version", VERSION)
        .map_err(failure)
}

/// An error met while reading the head of a file that may be anything.
fn foreign(error: Error) -> StoreError {
    match failure(error) {
        StoreError::Bug(text) => StoreError::Foreign(text),
        other => other,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failure(error: Error) -> StoreError {
    let text = error.to_string();
    match &error {
        Error::SqliteFailure(code, _) => match code.code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
            ErrorCode::DiskFull => StoreError::DiskFull,
            ErrorCode::SystemIoFailure => StoreError::Io(text),
            ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                StoreError::Permission(text)
            }
            ErrorCode::DatabaseCorrupt => StoreError::Corrupt(text),
            ErrorCode::NotADatabase => StoreError::Foreign(text),
            _ => StoreError::Bug(text),
        },
        Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::FromSqlConversionFailure(..) => StoreError::Corrupt(text),
        _ => StoreError::Bug(text),
    }
}

/// A column of a length that we never wrote.
pub(super) fn wrong_length<E>(_: E) -> FromSqlError {
    FromSqlError::Other("a column has a length that was never written".into())
}
