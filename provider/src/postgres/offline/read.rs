//! All rows of the tables, in an order that a copy's rows have: the same as SQLite's, so that a copy of the copy has the
//! same bytes.

use shoal_packet::command::Blob;
use shoal_proto::Time;
use tokio_postgres::{Client, Row};

use super::super::failure::never_written;
use super::super::load::{self, get, number, set};
use super::cursor::each as each_row;
use crate::offline::copy::CopyError;
use crate::offline::record::{DropRecord, EntryRecord, MailboxRecord, Record, SetRecord};
use crate::store::{EntryId, Freed, SpentToken};
use crate::{StoreError, StoreKey};

const MAILBOXES: &str = "
SELECT id, sealed, generation, window_highest, window_bits, window_refused, stream, used_us, next_entry,
    waiting, remembered, freed_step, freed, sets, created_us, closed
FROM mailboxes ORDER BY id";
const SETS: &str = "
SELECT mailboxes.sealed, secret, size FROM sets JOIN mailboxes ON mailboxes.id = sets.mailbox
ORDER BY sets.mailbox, sets.id";
const DROPS: &str = "
SELECT mailboxes.sealed, secret, size, drops.number, revoked, drops.freed_step, drops.freed
FROM drops JOIN sets ON sets.id = drops.set_id JOIN mailboxes ON mailboxes.id = sets.mailbox
ORDER BY drops.mailbox, drops.set_id, drops.number";
/// Both tables have an index in this order, and nothing is sorted but merged.
const ENTRIES: &str = "
SELECT mailboxes.sealed, secret, size, drops.number, named.message, named.expires_us, named.entry, named.blob
FROM (
    SELECT id, drop_id, message, expires_us, entry, blob FROM entries
    UNION ALL SELECT id, drop_id, message, expires_us, entry, NULL FROM remembered
) AS named
JOIN drops ON drops.id = named.drop_id JOIN sets ON sets.id = drops.set_id
JOIN mailboxes ON mailboxes.id = sets.mailbox
ORDER BY named.expires_us, named.id";
const SPENT: &str = "SELECT name, expires_us FROM spent ORDER BY name";

/// What makes a record of a row.
type Read = fn(&StoreKey, &Row) -> Result<Record, StoreError>;

const ALL: [(&str, Read); 5] = [
    (MAILBOXES, mailbox),
    (SETS, set_record),
    (DROPS, drop_id),
    (ENTRIES, entry),
    (SPENT, spent),
];

pub(super) async fn all(
    client: &Client,
    key: &StoreKey,
    each: &mut dyn FnMut(&Record) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let statements = ALL.map(|(sql, _)| sql);
    each_row(client, statements, |place, row| {
        let read = ALL.get(place).map(|(_, read)| *read);
        let read = read.ok_or_else(|| StoreError::Bug("a row of no statement".to_owned()))?;
        each(&read(key, row)?)
    })
    .await
}

/// The time in a column.
fn time(row: &Row, column: usize) -> Result<Time, StoreError> {
    let micros = u64::try_from(get::<i64>(row, column)?).map_err(never_written)?;
    Ok(Time::from_micros(micros))
}

fn unsigned(row: &Row, column: usize) -> Result<u64, StoreError> {
    get(row, column).map(i64::cast_unsigned)
}

fn mailbox(store: &StoreKey, row: &Row) -> Result<Record, StoreError> {
    let found = load::mailbox(store, row)?;
    Ok(Record::Mailbox(MailboxRecord {
        key: *found.own.owner(),
        attended: found.attended,
        closed: found.closed,
        created: time(row, 14)?,
        used: time(row, 7)?,
        next_entry: EntryId::new(found.next_entry.cast_unsigned()),
        freed: found.tally.freed(),
    }))
}

fn set_record(store: &StoreKey, row: &Row) -> Result<Record, StoreError> {
    let own = store.open(get(row, 0)?)?;
    Ok(Record::Set(SetRecord {
        mailbox: *own.owner(),
        set: set(&own, row, 1)?,
    }))
}

fn drop_id(store: &StoreKey, row: &Row) -> Result<Record, StoreError> {
    let own = store.open(get(row, 0)?)?;
    Ok(Record::Drop(DropRecord {
        mailbox: *own.owner(),
        key: set(&own, row, 1)?.id(own.owner(), number(row, 3)?),
        revoked: get(row, 4)?,
        freed: Freed::from_parts(unsigned(row, 5)?, unsigned(row, 6)?),
    }))
}

fn entry(store: &StoreKey, row: &Row) -> Result<Record, StoreError> {
    let own = store.open(get(row, 0)?)?;
    let blob = match get::<Option<&[u8]>>(row, 7)? {
        Some(bytes) => Some(Box::new(Blob::from_bytes(bytes).map_err(never_written)?)),
        None => None,
    };
    Ok(Record::Entry(EntryRecord {
        mailbox: *own.owner(),
        drop: set(&own, row, 1)?.id(own.owner(), number(row, 3)?),
        message: own.open_message(get(row, 4)?)?,
        expires: time(row, 5)?,
        entry: EntryId::new(unsigned(row, 6)?),
        blob,
    }))
}

fn spent(_: &StoreKey, row: &Row) -> Result<Record, StoreError> {
    Ok(Record::Spent(SpentToken {
        name: get::<&[u8]>(row, 0)?.try_into().map_err(never_written)?,
        expires: time(row, 1)?,
    }))
}
