//! All rows of the tables, in the order in which they were made.

use rusqlite::{Connection, Error, Row, types::FromSqlError};
use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId};

use super::super::database::{failure, wrong_length};
use super::time;
use crate::Window;
use crate::offline::copy::CopyError;
use crate::offline::record::{DropRecord, EntryRecord, MailboxRecord, Record};
use crate::store::{EntryId, Freed};
use crate::window::Attended;

const MAILBOXES: &str = "
    SELECT key, generation, window_highest, window_bits, window_refused, stream, used_us, next_entry,
           freed_step, freed
    FROM mailboxes ORDER BY id";
const DROPS: &str = "
    SELECT mailboxes.key, drops.key, revoked_us, drops.freed_step, drops.freed
    FROM drops JOIN mailboxes ON mailboxes.id = drops.mailbox ORDER BY drops.id";
/// The two tables are read side by side, so that nothing has to be sorted.
const ENTRIES: &str = "
    SELECT (SELECT key FROM mailboxes WHERE id = mailbox), (SELECT key FROM drops WHERE id = drop_id),
           message, expires_us, entry, blob, id
    FROM entries
    UNION ALL
    SELECT (SELECT key FROM mailboxes WHERE id = mailbox), (SELECT key FROM drops WHERE id = drop_id),
           message, expires_us, NULL, NULL, id
    FROM remembered
    ORDER BY 7";

pub(super) fn all(
    connection: &Connection,
    each: &mut dyn FnMut(&Record) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    // The database is this process's alone, so the three see the same.
    for (sql, record) in [
        (
            MAILBOXES,
            mailbox as fn(&Row<'_>) -> rusqlite::Result<Record>,
        ),
        (DROPS, drop_id),
        (ENTRIES, entry),
    ] {
        let mut statement = connection.prepare(sql).map_err(failure)?;
        let mut rows = statement.query([]).map_err(failure)?;
        while let Some(row) = rows.next().map_err(failure)? {
            each(&record(row).map_err(failure)?)?;
        }
    }
    Ok(())
}

fn mailbox(row: &Row<'_>) -> rusqlite::Result<Record> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    let generation: Option<i64> = row.get(1)?;
    let window = Window::from_parts(number(2)?, number(3)?, number(4)?);
    let stream = number(5)?;
    Ok(Record::Mailbox(MailboxRecord {
        key: MailboxId::new(row.get(0)?),
        attended: generation.map(|generation| Attended {
            generation: generation.cast_unsigned(),
            window,
            stream,
        }),
        used: time(row, 6)?,
        next_entry: EntryId::new(number(7)?),
        freed: Freed::from_parts(number(8)?, number(9)?),
    }))
}

fn drop_id(row: &Row<'_>) -> rusqlite::Result<Record> {
    let number = |column| row.get(column).map(i64::cast_unsigned);
    Ok(Record::Drop(DropRecord {
        mailbox: MailboxId::new(row.get(0)?),
        key: DropId::new(row.get(1)?),
        revoked: match row.get::<_, Option<i64>>(2)? {
            Some(_) => Some(time(row, 2)?),
            None => None,
        },
        freed: Freed::from_parts(number(3)?, number(4)?),
    }))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Record> {
    let waits = match row.get::<_, Option<i64>>(4)? {
        None => None,
        Some(number) => {
            let bytes = row.get_ref(5)?.as_blob().map_err(Error::from)?;
            let blob =
                Blob::from_bytes(bytes).map_err(|error| -> FromSqlError { wrong_length(error) })?;
            Some((EntryId::new(number.cast_unsigned()), Box::new(blob)))
        }
    };
    Ok(Record::Entry(EntryRecord {
        mailbox: MailboxId::new(row.get(0)?),
        drop: DropId::new(row.get(1)?),
        message: MessageId::new(row.get(2)?),
        expires: time(row, 3)?,
        waits,
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
        for sql in [MAILBOXES, DROPS, ENTRIES] {
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
