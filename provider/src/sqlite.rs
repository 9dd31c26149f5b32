//! The store in one SQLite file.

mod database;
mod drops;
mod inventory;
mod mailboxes;
mod messages;
mod offline;
mod options;
mod room;
mod work;

use rusqlite::{Connection, TransactionBehavior};
use shoal_proto::Time;

use self::database::failure;
pub(crate) use self::offline::OfflineSqlite;
pub use self::options::SqliteOptions;
use self::room::Room;
use self::work::{Held, Work};
use crate::StoreError;
use crate::store::{Store, StoreOp, StoreOutcome, StoreResult, Usage, without_puts};
use crate::times::micros;

/// A store in one SQLite file: the embedded default.
///
/// The journal is a write-ahead log with `synchronous=FULL`, so what [`Store::apply`] answered
/// survives a loss of power. Each group of operations is one transaction. One process holds the
/// file; deleted payloads are overwritten (`secure_delete`).
///
/// Memory: SQLite's page cache, 2 MiB, and what the operations and answers of one group hold.
pub struct SqliteStore {
    connection: Connection,
    options: SqliteOptions,
    room: Room,
    held: Held,
}

impl SqliteStore {
    /// Opens the database, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`]: in use, not ours, damaged, written by another release, or the system
    /// refuses. A file that is not ours stays as it is.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let connection = database::open(&options)?;
        let held = database::held(&connection)?;
        Ok(Self {
            connection,
            room: Room::new(options.reserve),
            options,
            held,
        })
    }

    /// The group in one transaction. On an error nothing of it is kept.
    fn group(&mut self, now: Time, ops: &[StoreOp]) -> Result<Vec<StoreOutcome>, StoreError> {
        let mut held = self.held;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(failure)?;
        let options = &mut self.options;
        let mut work = Work::new(
            &transaction,
            &options.limits,
            &mut options.key,
            &mut held,
            now,
        );
        let mut outcomes = Vec::with_capacity(ops.len());
        for op in ops {
            outcomes.push(perform(&mut work, op)?);
        }
        if ops.iter().any(|op| matches!(op, StoreOp::Check)) {
            database::touch(&transaction)?;
        }
        if held != self.held {
            database::keep(&transaction, &held)?;
        }
        transaction.commit().map_err(failure)?;
        self.held = held;
        Ok(outcomes)
    }

    /// Pages that were freed are overwritten in the file only when the log is folded into it.
    /// What was committed is durable already, so a failure costs nothing but time.
    fn fold_log(&self) {
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

fn perform(work: &mut Work<'_>, op: &StoreOp) -> Result<StoreOutcome, StoreError> {
    match op {
        StoreOp::Put {
            drop,
            message,
            blob,
            expires,
        } => work.put(drop, message, blob, micros(*expires)),
        StoreOp::Attend {
            mailbox,
            generation,
            counter,
            stream,
            acks,
            changes,
            opening,
        } => {
            let attendance = mailboxes::Attendance {
                generation: *generation,
                counter: *counter,
                stream: *stream,
                opening: *opening,
            };
            work.attend(mailbox, &attendance, acks, changes)
        }
        StoreOp::Claim(claim) => work.claim(claim),
        StoreOp::Waiting { mailbox } => work.waiting(mailbox),
        StoreOp::List {
            mailbox,
            drop,
            after,
            limit,
        } => work.list(mailbox, drop, *after, *limit),
        StoreOp::Inventory { from, until } => {
            work.inventory(*from, *until).map(StoreOutcome::Inventory)
        }
        StoreOp::Expire => work.expire(),
        StoreOp::Check => Ok(StoreOutcome::Writable),
    }
}

impl Store for SqliteStore {
    fn apply(&mut self, now: Time, ops: Vec<StoreOp>) -> Vec<StoreResult> {
        let expires = ops.iter().any(|op| matches!(op, StoreOp::Expire));
        let room = match ops.iter().any(StoreOp::needs_room) {
            true => self.room.check(room::free(&self.options.path)),
            false => Ok(()),
        };
        let results = match room {
            Err(full) => without_puts(ops, &full, |rest| self.group(now, rest)),
            Ok(()) => match self.group(now, &ops) {
                Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
                Err(full) if full.is_full() => {
                    without_puts(ops, &full, |rest| self.group(now, rest))
                }
                Err(error) => vec![Err(error); ops.len()],
            },
        };
        if expires {
            self.fold_log();
        }
        results
    }

    fn usage(&self) -> Usage {
        self.held.usage
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::config::DbConfig;

    use super::*;
    use crate::StoreLimits;

    /// No test can take the power away: these settings are what SQLite's promise rests on.
    #[test]
    fn the_settings_that_durability_rests_on_are_in_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        for _ in 0..2 {
            let options = SqliteOptions::new(&path, crate::bench::key(), StoreLimits::default());
            let store = SqliteStore::open(options).unwrap();
            let number = |name: &str| {
                let sql = format!("PRAGMA {name}");
                store
                    .connection
                    .query_row(&sql, [], |row| row.get::<_, i64>(0))
                    .unwrap()
            };
            let text = |name: &str| {
                let sql = format!("PRAGMA {name}");
                store
                    .connection
                    .query_row(&sql, [], |row| row.get::<_, String>(0))
                    .unwrap()
            };
            assert_eq!(text("journal_mode"), "wal");
            assert_eq!(text("locking_mode"), "exclusive");
            assert_eq!(number("synchronous"), 2, "FULL");
            assert_eq!(number("secure_delete"), 1);
            // Not durability, but speed: ten times as many mailboxes looked through in a second.
            let qpsg = DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
            assert!(store.connection.db_config(qpsg).unwrap());
        }
    }
}
