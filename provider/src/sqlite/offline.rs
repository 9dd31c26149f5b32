//! A SQLite store that no node holds.

mod fill;
mod read;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use shoal_proto::{Span, Time};

use super::database::{self, failure};
use super::room;
use crate::offline::copy::CopyError;
use crate::offline::record::Record;
use crate::offline::report::{Report, Step};
use crate::offline::{OfflineStore, StoreStats};
use crate::{Due, SqliteOptions, StoreError, StoreKey, StoreLimits};

/// A SQLite store that no node holds, as long as this does.
///
/// Memory: SQLite's page cache, 2 MiB, or [`FILL_CACHE_KIB`] while it is filled.
pub(crate) struct OfflineSqlite {
    connection: Connection,
    path: PathBuf,
    key: StoreKey,
}

/// A copy's rows go to random places of the indexes, so a small cache would write each page many times.
const FILL_CACHE_KIB: i64 = 64 << 10;

impl OfflineSqlite {
    /// Opens a database that is there, and changes nothing.
    pub(crate) fn look(path: &Path, key: &StoreKey, patience: Span) -> Result<Self, StoreError> {
        // Read and write: a log that a crash has left is read under a lock that only a writer can take.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
        connection.busy_timeout(patience.into()).map_err(failure)?;
        if log_of(path).exists() {
            // It stays as the crash has left it. One that is not there comes with us, empty, and goes with us.
            connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_err(failure)?;
        }
        for (name, value) in [
            ("locking_mode", "EXCLUSIVE"),
            ("trusted_schema", "OFF"),
            ("cell_size_check", "ON"),
            ("query_only", "ON"),
        ] {
            connection
                .pragma_update(None, name, value)
                .map_err(failure)?;
        }
        if database::recognise(&connection)? {
            return Err(StoreError::Foreign("an empty file".to_owned()));
        }
        database::check_key(&connection, key)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            key: key.clone(),
        })
    }

    /// Opens a database as a provider does, and makes it if there is none.
    pub(crate) fn to_fill(path: &Path, key: &StoreKey, patience: Span) -> Result<Self, StoreError> {
        let options = SqliteOptions {
            patience,
            ..SqliteOptions::new(path, key.clone(), StoreLimits::default())
        };
        let connection = database::open(&options)?;
        connection
            .pragma_update(None, "cache_size", -FILL_CACHE_KIB)
            .map_err(failure)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            key: key.clone(),
        })
    }

    /// One number that a statement gives.
    fn number(&self, sql: &str) -> Result<i64, StoreError> {
        number(&self.connection, sql)
    }

    fn count(&self, sql: &str) -> Result<u64, StoreError> {
        Ok(self.number(sql)?.cast_unsigned())
    }
}

fn number(connection: &Connection, sql: &str) -> Result<i64, StoreError> {
    connection
        .query_row(sql, [], |row| row.get(0))
        .map_err(failure)
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// The time in a column.
fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Time> {
    let micros: i64 = row.get(column)?;
    let outside = |_| rusqlite::Error::IntegralValueOutOfRange(column, micros);
    u64::try_from(micros)
        .map(Time::from_micros)
        .map_err(outside)
}

impl OfflineStore for OfflineSqlite {
    fn stats(&self) -> Result<StoreStats, StoreError> {
        let oldest = "SELECT messages.expires_us FROM messages CROSS JOIN cells \
            ON cells.id = messages.mailbox + 16777216 + messages.entry \
            ORDER BY messages.expires_us, messages.id LIMIT 1";
        let oldest: Option<i64> = self
            .connection
            .query_row(oldest, [], |row| row.get(0))
            .optional()
            .map_err(failure)?;
        // Once through all of it.
        let all = "SELECT coalesce(sum(closed), 0), coalesce(sum(revoked), 0) FROM cells";
        let (closed, revoked) = self
            .connection
            .query_row(all, [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })
            .map_err(failure)?;
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let page = self.count("PRAGMA page_size")?;
        Ok(StoreStats {
            usage: database::held(&self.connection)?.usage,
            sets: self.count("SELECT count(*) FROM sets")?,
            drops: self.count("SELECT coalesce(sum(size), 0) FROM sets")?,
            closed: closed.cast_unsigned(),
            revoked: revoked.cast_unsigned(),
            oldest_expires: oldest.map(|micros| Time::from_micros(micros.max(0).cast_unsigned())),
            files: vec![
                ("database", size(&self.path)),
                ("log", size(&log_of(&self.path))),
            ],
            free_within: Some(self.count("PRAGMA freelist_count")?.saturating_mul(page)),
            free_on_disk: room::free(&self.path),
            schema: self.number("PRAGMA user_version")?,
        })
    }

    fn inventory(&self, from: Time, until: Option<Time>) -> Result<Due, StoreError> {
        super::inventory::due(&self.connection, from, until)
    }

    fn verify(
        &self,
        limits: &StoreLimits,
        step: &mut dyn FnMut(Step),
    ) -> Result<Report, StoreError> {
        verify::whole(&self.connection, &self.key, limits, step)
    }

    fn read(
        &self,
        each: &mut dyn FnMut(&Record) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        read::all(&self.connection, &self.key, each)
    }

    fn fill(
        &mut self,
        next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
    ) -> Result<(), CopyError> {
        fill::all(&mut self.connection, &mut self.key, next)
    }
}
