//! What one group of operations works with.

use rusqlite::{CachedStatement, Connection};

use super::database::failure;
use crate::store::Usage;
use crate::{StoreError, StoreLimits};

/// A transaction, the quotas, what is held within it, and the time in microseconds.
pub(super) struct Work<'a> {
    connection: &'a Connection,
    limits: &'a StoreLimits,
    usage: &'a mut Usage,
    now: i64,
}

impl<'a> Work<'a> {
    pub(super) const fn new(
        connection: &'a Connection,
        limits: &'a StoreLimits,
        usage: &'a mut Usage,
        now: i64,
    ) -> Self {
        Self {
            connection,
            limits,
            usage,
            now,
        }
    }

    pub(super) const fn limits(&self) -> &'a StoreLimits {
        self.limits
    }

    pub(super) const fn usage(&self) -> &Usage {
        self.usage
    }

    pub(super) const fn usage_mut(&mut self) -> &mut Usage {
        self.usage
    }

    pub(super) const fn now(&self) -> i64 {
        self.now
    }

    /// A point in time so long ago, in microseconds; before all time if there was none.
    pub(super) fn ago(&self, micros: u64) -> i64 {
        i64::try_from(micros).map_or(-1, |micros| self.now.saturating_sub(micros).max(-1))
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>, StoreError> {
        self.connection.prepare_cached(sql).map_err(failure)
    }

    /// Does something to the row with this id.
    pub(super) fn run(&self, sql: &str, id: i64) -> Result<(), StoreError> {
        self.prepare(sql)?.execute([id]).map_err(failure)?;
        Ok(())
    }

    /// The id of the row that was inserted last.
    pub(super) fn last_id(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}
