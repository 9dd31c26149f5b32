//! All rows of the tables, in an order that a copy's rows have.

use rusqlite::{Connection, Error, Row, types::FromSqlError};
use shoal_packet::command::Blob;

use super::super::database::{failure, unsealed, wrong_length};
use super::super::drops::{named, own, set_of};
use super::time;
use crate::offline::copy::CopyError;
use crate::offline::record::{DropRecord, EntryRecord, MailboxRecord, Record, SetRecord};
use crate::store::{EntryId, Freed, SpentToken};
use crate::window::Attended;
use crate::{StoreKey, Window};

const MAILBOXES: &str = "
    SELECT sealed, generation, window_highest, window_bits, window_refused, stream, created_us, used_us, next_entry,
           freed_step, freed, closed
    FROM cells WHERE created_us IS NOT NULL ORDER BY id";
const SETS: &str = "
    SELECT sealed, secret, size
    FROM sets JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox ORDER BY sets.id";
const DROPS: &str = "
    SELECT mailboxes.sealed, secret, size, drops.id & 255, drops.revoked, drops.freed_step, drops.freed
    FROM cells AS drops CROSS JOIN sets ON sets.id = ((drops.id >> 32) << 9) | ((drops.id >> 8) & 511)
    CROSS JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox
    WHERE drops.revoked IS NOT NULL ORDER BY drops.id";
const ENTRIES: &str = "
    SELECT mailboxes.sealed, secret, size, messages.drop_id & 255, messages.message, messages.expires_us,
           messages.entry, waits.id IS NOT NULL, blobs.blob
    FROM messages CROSS JOIN sets ON sets.id = ((messages.drop_id >> 32) << 9) | ((messages.drop_id >> 8) & 511)
    CROSS JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox
    LEFT JOIN cells AS waits ON waits.id = messages.mailbox + 16777216 + messages.entry
    LEFT JOIN blobs ON blobs.id = messages.id
    ORDER BY messages.expires_us, messages.id";
const SPENT: &str = "SELECT name, expires_us FROM spent ORDER BY name";

pub(super) fn all(
    connection: &Connection,
    key: &StoreKey,
    each: &mut dyn FnMut(&Record) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    // The database is this process's alone, so all see the same.
    for (sql, record) in [
        (
            MAILBOXES,
            mailbox as fn(&StoreKey, &Row<'_>) -> rusqlite::Result<Record>,
        ),
        (SETS, set),
        (DROPS, drop_id),
        (ENTRIES, entry),
        (SPENT, spent),
    ] {
        let mut statement = connection.prepare(sql).map_err(failure)?;
        let mut rows = statement.query([]).map_err(failure)?;
        while let Some(row) = rows.next().map_err(failure)? {
            each(&record(key, row).map_err(failure)?)?;
        }
    }
    Ok(())
}

fn mailbox(store: &StoreKey, row: &Row<'_>) -> rusqlite::Result<Record> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    let generation: Option<i64> = row.get(1)?;
    let window = Window::from_parts(number(2)?, number(3)?, number(4)?);
    let stream = number(5)?;
    Ok(Record::Mailbox(MailboxRecord {
        key: *own(store, row, 0)?.owner(),
        attended: generation.map(|generation| Attended {
            generation: generation.cast_unsigned(),
            window,
            stream,
        }),
        closed: row.get(11)?,
        created: time(row, 6)?,
        used: time(row, 7)?,
        next_entry: EntryId::new(number(8)?),
        freed: Freed::from_parts(number(9)?, number(10)?),
    }))
}

fn set(store: &StoreKey, row: &Row<'_>) -> rusqlite::Result<Record> {
    let own = own(store, row, 0)?;
    Ok(Record::Set(SetRecord {
        mailbox: *own.owner(),
        set: set_of(&own, row, 1, 2)?,
    }))
}

fn drop_id(store: &StoreKey, row: &Row<'_>) -> rusqlite::Result<Record> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(Record::Drop(DropRecord {
        mailbox: *own(store, row, 0)?.owner(),
        key: named(store, row)?,
        revoked: row.get(4)?,
        freed: Freed::from_parts(number(5)?, number(6)?),
    }))
}

fn entry(store: &StoreKey, row: &Row<'_>) -> rusqlite::Result<Record> {
    let blob = match row.get(7)? {
        false => None,
        true => {
            let bytes = row.get_ref(8)?.as_blob().map_err(Error::from)?;
            let blob =
                Blob::from_bytes(bytes).map_err(|error| -> FromSqlError { wrong_length(error) })?;
            Some(Box::new(blob))
        }
    };
    let own = own(store, row, 0)?;
    Ok(Record::Entry(EntryRecord {
        mailbox: *own.owner(),
        drop: named(store, row)?,
        message: own
            .open_message(row.get_ref(4)?.as_blob()?)
            .map_err(unsealed)?,
        expires: time(row, 5)?,
        entry: EntryId::new(row.get::<_, i64>(6)?.cast_unsigned()),
        blob,
    }))
}

fn spent(_: &StoreKey, row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record::Spent(SpentToken {
        name: row.get(0)?,
        expires: time(row, 1)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sorted is held in memory, and a store may be larger than that.
    #[test]
    fn nothing_is_sorted() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(super::super::super::database::SCHEMA)
            .unwrap();
        for sql in [MAILBOXES, SETS, DROPS, ENTRIES, SPENT] {
            let mut plan = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let steps = plan.query_map([], |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                assert!(!step.contains("TEMP B-TREE"), "{sql}: {step}");
            }
        }
    }
}
