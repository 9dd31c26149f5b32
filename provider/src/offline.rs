//! Stores that no node holds: how much is in one, whether it is sound, and one copy of all of it.
//!
//! An engine gives its rows as [`Record`]s and takes them back ([`OfflineStore`]); what stands here knows no engine. The
//! format of a copy is in [`copy`].

pub(crate) mod copy;
pub(crate) mod record;
pub(crate) mod report;

use std::path::{Path, PathBuf};

use shoal_proto::{Span, Time};

use self::copy::CopyError;
use self::record::Record;
use self::report::{Report, Step};
use crate::sqlite::OfflineSqlite;
use crate::store::{Store, Usage};
use crate::{Due, SqliteOptions, SqliteStore, StoreError, StoreKey, StoreLimits};
#[cfg(feature = "postgres")]
use crate::{PostgresOptions, PostgresStore, postgres::OfflinePostgres};

/// What keeps mailboxes in a directory of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEngine {
    /// One SQLite file.
    Sqlite,
}

impl StoreEngine {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Sqlite];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
        }
    }

    /// A store of this engine by this name in a directory.
    #[must_use]
    pub fn within(self, directory: &Path, name: &str, key: &StoreKey) -> StoreAt {
        match self {
            Self::Sqlite => StoreAt::Sqlite(directory.join(format!("{name}.db")), key.clone()),
        }
    }
}

/// Where a store is, and what it is sealed with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreAt {
    /// The database's file.
    Sqlite(PathBuf, StoreKey),
    /// A schema of a PostgreSQL server. What is opened there waits for the server, and may not be used where tokio runs.
    #[cfg(feature = "postgres")]
    Postgres(PostgresOptions),
}

/// How long another process may take to let go of a store.
const PATIENCE: Span = Span::from_millis(500);

impl StoreAt {
    /// The name of its engine.
    #[must_use]
    pub const fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite(..) => StoreEngine::Sqlite.as_str(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "postgres",
        }
    }

    /// Opens it as a provider does, and makes it if there is none. The disk decides how much fits.
    ///
    /// # Errors
    /// Those of [`SqliteStore::open`], or of the same of another engine.
    pub fn open(&self, limits: StoreLimits) -> Result<Box<dyn Store>, StoreError> {
        match self {
            Self::Sqlite(path, key) => Ok(Box::new(SqliteStore::open(SqliteOptions {
                reserve: 0,
                patience: PATIENCE,
                ..SqliteOptions::new(path, key.clone(), limits)
            })?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => Ok(Box::new(PostgresStore::open(PostgresOptions {
                limits,
                ..options.clone()
            })?)),
        }
    }

    /// Opens it to be looked at: nothing is written, and nobody else can open it meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]: there is none, in use, not ours, damaged so that its head can't be read, written by another
    /// release, or the system refuses.
    pub fn look(&self) -> Result<Box<dyn OfflineStore>, StoreError> {
        match self {
            Self::Sqlite(path, key) => Ok(Box::new(OfflineSqlite::look(path, key, PATIENCE)?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => Ok(Box::new(OfflinePostgres::look(options)?)),
        }
    }

    /// Opens it to be filled, and makes it if there is none.
    ///
    /// # Errors
    /// Those of [`look`](Self::look).
    pub fn to_fill(&self) -> Result<Box<dyn OfflineStore>, StoreError> {
        match self {
            Self::Sqlite(path, key) => Ok(Box::new(OfflineSqlite::to_fill(path, key, PATIENCE)?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(options) => Ok(Box::new(OfflinePostgres::to_fill(options)?)),
        }
    }
}

/// How much a store holds, and what it takes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// What the quotas count.
    pub usage: Usage,
    /// Sets of drop ids.
    pub sets: u64,
    /// The drop ids in these sets, revoked ones included.
    pub drops: u64,
    /// Mailboxes that their owners have closed.
    pub closed: u64,
    /// Drop ids that are revoked.
    pub revoked: u64,
    /// When the entry that expires first does; none if nothing waits. All live equally long, so it came first too.
    pub oldest_expires: Option<Time>,
    /// Bytes of the files, or of what a server keeps in its own, by what they are.
    pub files: Vec<(&'static str, u64)>,
    /// Bytes within the files that new entries take first; none if it is not known.
    pub free_within: Option<u64>,
    /// Bytes that are free on the disk; none if it is not known.
    pub free_on_disk: Option<u64>,
    /// The version of the tables.
    pub schema: i64,
}

/// A store that no node holds, as an engine shows it.
pub trait OfflineStore {
    /// How much it holds.
    ///
    /// # Errors
    /// [`StoreError`]: it can't be read.
    fn stats(&self) -> Result<StoreStats, StoreError>;

    /// How much expires from the hour that `from` is in up to the hour that `until` is in, which is left out; without
    /// `until`, all that comes after. [`by_day`](crate::by_day) makes a table of it.
    ///
    /// # Errors
    /// [`StoreError`]: it can't be read.
    fn inventory(&self, from: Time, until: Option<Time>) -> Result<Due, StoreError>;

    /// Looks for everything that should not be so. `step` is told what is looked at from now on. Takes as long as reading
    /// all of it; memory is bounded.
    ///
    /// # Errors
    /// [`StoreError`]: the system does not let it be read. Damage is no error but a fault.
    fn verify(
        &self,
        limits: &StoreLimits,
        step: &mut dyn FnMut(Step),
    ) -> Result<Report, StoreError>;

    /// Gives every row in order: mailboxes, then sets, then drop ids, then entries, each in the order in which they were made.
    ///
    /// # Errors
    /// [`CopyError`]: it can't be read, or what `each` says.
    fn read(&self, each: &mut dyn FnMut(&Record) -> Result<(), CopyError>)
    -> Result<(), CopyError>;

    /// Takes rows in the order of [`read`](Self::read) until `next` gives none, into a store that is empty. All of them
    /// are in it afterwards, durable, and hold together; or none.
    ///
    /// # Errors
    /// [`CopyError`]: it is not empty, can't be written, the rows contradict each other, or what `next` says.
    fn fill(
        &mut self,
        next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
    ) -> Result<(), CopyError>;
}
