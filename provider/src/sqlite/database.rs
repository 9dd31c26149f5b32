//! The file: how it is opened, what makes it ours, and what its errors mean.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::options::SqliteOptions;
use super::work::Held;
use crate::seal::Unsealed;
use crate::store::{Freed, Usage};
use crate::{StoreError, StoreKey};

/// Marks a file as ours: "Shol".
const APPLICATION: i64 = 0x5368_6f6c;
/// Grows with every change of the tables.
const VERSION: i64 = 5;

/// Ids of a mailbox' own begin after its own and end before this many.
pub(super) const CELLS: i64 = 1 << 32;
/// Those of its entries, from its own on. Before them are drop ids.
pub(super) const ENTRIES: i64 = 1 << 24;
/// Numbers of entries end before this one.
pub(super) const MOST_ENTRIES: i64 = CELLS - ENTRIES;
/// Sets that a mailbox has room for, whatever the limits allow.
pub(super) const MOST_SETS: u64 = (1 << 9) - 1;

/// The id of the set in this place of a mailbox, from 1 on.
pub(super) const fn set_id(mailbox: i64, place: i64) -> i64 {
    ((mailbox >> 32) << 9) | place
}

/// The id of a drop id, by its set's and its number there.
pub(super) const fn drop_id(set: i64, number: i64) -> i64 {
    ((set >> 9) << 32) | ((set & 511) << 8) | number
}

pub(super) const SCHEMA: &str = "
-- What tells the key that all is sealed with from others. In what follows, a mailbox is found by a keyed hash of its owner's
-- key, a drop id by one of itself, and what is sealed is so under the mailbox' own key.
CREATE TABLE seal (
    one INTEGER PRIMARY KEY,
    store BLOB NOT NULL
) STRICT;
-- How much there is, and the last number of a name that was given, so that nobody has to count.
CREATE TABLE totals (
    one INTEGER PRIMARY KEY,
    mailboxes INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    remembered INTEGER NOT NULL,
    -- Acknowledged in this step: their room is not free before the next.
    freed INTEGER NOT NULL,
    freed_step INTEGER NOT NULL,
    last_id INTEGER NOT NULL
) STRICT;
-- Which mailbox is whose.
CREATE TABLE owners (
    key BLOB PRIMARY KEY,
    mailbox INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- All of a mailbox side by side, but for blobs, so that an acknowledgement reads and writes one page for all of it: of a million
-- mailboxes each is far from the others. A mailbox has a multiple of 2^32 for its id, and what is its own follows on it:
-- + 256 * n + number    a drop id that was used, or revoked: of its nth set, from 1 on, the number in it
-- + 2^24 + number       the entry with this number, which waits
CREATE TABLE cells (
    id INTEGER PRIMARY KEY,
    -- Of a mailbox: NULL until the owner's first command. Numbers of 64 bits are kept by their bits.
    generation INTEGER,
    window_highest INTEGER,
    window_bits INTEGER,
    window_refused INTEGER,
    stream INTEGER,
    -- Full hours.
    created_us INTEGER,
    used_us INTEGER,
    next_entry INTEGER,
    sets INTEGER,
    -- By its owner, for good.
    closed INTEGER,
    -- Of a drop id.
    revoked INTEGER,
    -- Of both.
    waiting INTEGER,
    remembered INTEGER,
    freed INTEGER,
    freed_step INTEGER,
    -- Of an entry: the ids of its drop id, and of its name and blob.
    drop_id INTEGER,
    name_id INTEGER,
    expires_us INTEGER,
    -- Of a mailbox: its own key, sealed under the store's, and its owner's key, sealed under that.
    sealed BLOB
) STRICT;
CREATE INDEX mailboxes_used ON cells (used_us) WHERE used_us IS NOT NULL AND waiting = 0 AND remembered = 0;
-- Those that nothing was ever put into, and whose owner has not come back after an hour: the second after that in
-- which it was opened.
CREATE INDEX mailboxes_unused ON cells (used_us) WHERE next_entry = 1 AND used_us < created_us + 7200000000;
CREATE INDEX mailboxes_closed ON cells (used_us) WHERE closed = 1 AND waiting = 0;
-- Sets of drop ids, by the secret that the ids follow from.
CREATE TABLE sets (
    -- Its mailbox' number and, in nine bits, its place there, which the ids of its drop ids follow from.
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
-- The names of all entries until they expire: of those that wait, and of those that were acknowledged. Which of both, it
-- says nowhere here, so that an acknowledgement changes nothing.
CREATE TABLE messages (
    drop_id INTEGER NOT NULL,
    -- Sealed, and found so.
    message BLOB NOT NULL,
    mailbox INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    expires_us INTEGER NOT NULL,
    -- Grows with each.
    id INTEGER NOT NULL,
    PRIMARY KEY (drop_id, message)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_entry ON messages (drop_id, entry);
CREATE INDEX messages_expiry ON messages (expires_us, id);
-- What waits, in the order in which it came: a deposit comes to the end, and moves nothing that is there. Among the cells each
-- would take half a page, and deposits would cost twice as much.
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
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
    transaction
        .execute("INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0)", [])
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

/// How much is held.
pub(super) fn held(connection: &Connection) -> Result<Held, StoreError> {
    connection
        .query_row(
            "SELECT mailboxes, entries, remembered, freed_step, freed, last_id FROM totals",
            [],
            |row| {
                let number = |column| row.get(column).map(i64::cast_unsigned);
                Ok(Held {
                    usage: Usage {
                        mailboxes: number(0)?,
                        entries: number(1)?,
                        remembered: number(2)?,
                    },
                    freed: Freed::from_parts(number(3)?, number(4)?),
                    last_id: row.get(5)?,
                })
            },
        )
        .map_err(|error| match failure(error) {
            StoreError::Bug(text) => StoreError::Corrupt(text),
            other => other,
        })
}

/// Writes down how much is held.
pub(super) fn keep(connection: &Connection, held: &Held) -> Result<(), StoreError> {
    let (step, freed) = held.freed.parts();
    let Usage {
        mailboxes,
        entries,
        remembered,
    } = held.usage;
    let numbers = [mailboxes, entries, remembered, step, freed].map(u64::cast_signed);
    let [mailboxes, entries, remembered, step, freed] = numbers;
    connection
        .prepare_cached(
            "UPDATE totals SET mailboxes = ?1, entries = ?2, remembered = ?3, freed_step = ?4, freed = ?5, last_id = ?6",
        )
        .and_then(|mut keep| {
            keep.execute([mailboxes, entries, remembered, step, freed, held.last_id])
        })
        .map(drop)
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
