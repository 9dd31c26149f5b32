//! What one group of operations works with.

use rusqlite::{CachedStatement, Connection};
use shoal_proto::{MailboxId, Span, Time};

use super::database::failure;
use crate::seal::OwnKey;
use crate::store::{Freed, Usage};
use crate::times::{self, micros};
use crate::{StoreError, StoreKey, StoreLimits};

/// How much the database holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) usage: Usage,
    pub(super) freed: Freed,
    /// The number of the last name.
    pub(super) last_id: i64,
}

/// A transaction, the quotas, what is sealed with, what is held within it, the time in microseconds, and the step in which
/// what is acknowledged takes up its room.
pub(super) struct Work<'a> {
    connection: &'a Connection,
    limits: &'a StoreLimits,
    key: &'a mut StoreKey,
    held: &'a mut Held,
    now: Time,
    step: u64,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        limits: &'a StoreLimits,
        key: &'a mut StoreKey,
        held: &'a mut Held,
        now: Time,
    ) -> Self {
        let step = held.freed.goes_on(limits.step(now));
        Self {
            connection,
            limits,
            key,
            held,
            now,
            step,
        }
    }

    pub(super) const fn key(&self) -> &StoreKey {
        self.key
    }

    /// A key for a new mailbox.
    pub(super) fn fresh(&mut self, owner: &MailboxId) -> OwnKey {
        self.key.fresh(owner)
    }

    pub(super) const fn limits(&self) -> &'a StoreLimits {
        self.limits
    }

    pub(super) const fn usage(&self) -> &Usage {
        &self.held.usage
    }

    pub(super) const fn usage_mut(&mut self) -> &mut Usage {
        &mut self.held.usage
    }

    /// Whether the database as a whole has room for one more entry.
    pub(super) const fn has_room(&self) -> bool {
        let freed = self.held.freed.held(self.step);
        self.held.usage.has_room(freed, self.limits.bytes)
    }

    /// An entry was acknowledged: its room is free in the next step.
    pub(super) const fn free_later(&mut self) {
        self.held.freed.add(self.step);
    }

    /// The number of this step, as it is in a row.
    pub(super) const fn step(&self) -> i64 {
        self.step.cast_signed()
    }

    pub(super) fn now(&self) -> i64 {
        micros(self.now)
    }

    /// The hour that it is, as it is in a row.
    pub(super) fn hour(&self) -> i64 {
        micros(times::hour(self.now))
    }

    /// What was used at this time or before has not been used for so long; before all time if there is none.
    pub(super) fn unused_for(&self, span: Span) -> i64 {
        times::unused_for(self.now, span).map_or(-1, micros)
    }

    pub(super) fn prepare(&self, sql: &str) -> Result<CachedStatement<'a>, StoreError> {
        self.connection.prepare_cached(sql).map_err(failure)
    }

    pub(super) const fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// Does something to the row with this id.
    pub(super) fn run(&self, sql: &str, id: i64) -> Result<(), StoreError> {
        self.prepare(sql)?.execute([id]).map_err(failure)?;
        Ok(())
    }

    /// The number of the next name.
    pub(super) const fn next_id(&mut self) -> i64 {
        self.held.last_id = self.held.last_id.saturating_add(1);
        self.held.last_id
    }
}
