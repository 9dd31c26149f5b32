//! How what became of the rows is written: in one round trip, a statement a table.

use std::collections::BTreeSet;

use tokio_postgres::types::ToSql;

use super::session::Session;
use super::sheet::{DropRow, EntryRow, MailboxRow, Place, SetRow, Sheet};
use crate::times::micros;
use crate::window::Attended;
use crate::{StoreError, StoreKey};

pub(super) const MAILBOXES: &str = "
INSERT INTO mailboxes (id, key, sealed, generation, window_highest, window_bits, window_refused, stream, used_us,
    next_entry, waiting, remembered, freed_step, freed, sets, created_us, closed)
SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
    $14::bigint[], $15::bigint[], $16::bigint[], $17::boolean[])
ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, window_highest = excluded.window_highest,
    window_bits = excluded.window_bits, window_refused = excluded.window_refused,
    stream = excluded.stream, used_us = excluded.used_us, next_entry = excluded.next_entry,
    waiting = excluded.waiting, remembered = excluded.remembered, freed_step = excluded.freed_step,
    freed = excluded.freed, sets = excluded.sets, closed = excluded.closed";
pub(super) const SETS: &str = "
INSERT INTO sets (id, mailbox, secret, size)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[])";
pub(super) const NAMES: &str = "
INSERT INTO names (tag, set_id, number) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[])";
pub(super) const DROPS: &str = "
INSERT INTO drops (id, set_id, number, mailbox, revoked, waiting, remembered, freed_step, freed)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::boolean[], $6::bigint[],
    $7::bigint[], $8::bigint[], $9::bigint[])
ON CONFLICT (id) DO UPDATE SET revoked = excluded.revoked, waiting = excluded.waiting,
    remembered = excluded.remembered, freed_step = excluded.freed_step, freed = excluded.freed";
pub(super) const ENTRIES: &str = "
INSERT INTO entries (id, mailbox, entry, drop_id, message, expires_us, blob)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[],
    $7::bytea[])";
pub(super) const REMEMBERED: &str = "
INSERT INTO remembered (id, mailbox, entry, drop_id, message, expires_us)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[])";
pub(super) const SPENT: &str = "
INSERT INTO spent (name, expires_us) SELECT * FROM unnest($1::bytea[], $2::bigint[])";
pub(super) const DELETE_ENTRIES: &str = "DELETE FROM entries WHERE id = ANY($1::bigint[])";
pub(super) const DELETE_REMEMBERED: &str = "DELETE FROM remembered WHERE id = ANY($1::bigint[])";

pub(super) const STATEMENTS: [&str; 9] = [
    MAILBOXES,
    SETS,
    NAMES,
    DROPS,
    ENTRIES,
    REMEMBERED,
    SPENT,
    DELETE_ENTRIES,
    DELETE_REMEMBERED,
];

/// A statement for many rows at a time: a column of values for each parameter.
pub(super) struct Write<'a> {
    pub(super) sql: &'static str,
    pub(super) columns: Vec<Box<dyn ToSql + Sync + 'a>>,
    rows: usize,
}

impl<'a> Write<'a> {
    pub(super) const fn new(sql: &'static str, rows: usize) -> Self {
        let columns = Vec::new();
        Self { sql, columns, rows }
    }

    /// With one more column.
    pub(super) fn with<T: ToSql + Sync + 'a>(mut self, values: impl Iterator<Item = T>) -> Self {
        self.columns.push(Box::new(values.collect::<Vec<T>>()));
        self
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

/// Writes what changed. With `commit`, all that this transaction has done is committed in the same
/// round trip: whether it was is unknown if the connection breaks.
pub(super) async fn save(
    session: &Session,
    key: &StoreKey,
    sheet: &Sheet<'_>,
    commit: bool,
) -> Result<(), StoreError> {
    // A name that has expired is gone before the same name is there again.
    let writes = vec![
        delete(DELETE_ENTRIES, sheet, Place::Waiting),
        delete(DELETE_REMEMBERED, sheet, Place::Remembered),
        mailboxes(key, sheet),
        sets(sheet)?,
        names(sheet),
        drops(sheet),
        entries(sheet)?,
        remembered(sheet)?,
        spent(sheet),
    ];
    session.write(&writes, commit).await
}

fn delete<'a>(sql: &'static str, sheet: &Sheet<'_>, from: Place) -> Write<'a> {
    let gone = |row: &EntryRow<'_>| row.was == from && row.is != from;
    let rows = sheet.entries.iter().filter(|(_, row)| gone(row));
    let ids: Vec<i64> = rows.map(|(id, _)| *id).collect();
    Write::new(sql, ids.len()).with(ids.into_iter())
}

fn mailboxes<'a>(key: &StoreKey, sheet: &'a Sheet<'_>) -> Write<'a> {
    let changed = sheet.changed_mailboxes.iter();
    let rows: Vec<(i64, &MailboxRow)> = changed
        .filter_map(|id| Some((*id, sheet.mailboxes.get(id)?)))
        .collect();
    let each = || rows.iter().map(|(_, row)| *row);
    let attended = |value: fn(&Attended) -> u64| {
        each().map(move |row| row.attended.as_ref().map(value).unwrap_or_default())
    };
    Write::new(MAILBOXES, rows.len())
        .with(rows.iter().map(|(id, _)| *id))
        .with(each().map(|row| key.mailbox(row.own.owner()).to_vec()))
        .with(each().map(|row| key.seal(&row.own).to_vec()))
        .with(each().map(|row| Some(row.attended?.generation.cast_signed())))
        .with(attended(|it| it.window.highest()).map(u64::cast_signed))
        .with(attended(|it| it.window.bits()).map(u64::cast_signed))
        .with(attended(|it| it.window.refused()).map(u64::cast_signed))
        .with(attended(|it| it.stream).map(u64::cast_signed))
        .with(each().map(|row| row.used))
        .with(each().map(|row| row.next_entry))
        .with(each().map(|row| row.tally.waiting().cast_signed()))
        .with(each().map(|row| row.tally.remembered().cast_signed()))
        .with(each().map(|row| row.tally.freed().parts().0.cast_signed()))
        .with(each().map(|row| row.tally.freed().parts().1.cast_signed()))
        .with(each().map(|row| row.sets))
        .with(each().map(|row| row.created))
        .with(each().map(|row| row.closed))
}

fn spent<'a>(sheet: &'a Sheet<'_>) -> Write<'a> {
    let each = || sheet.new_spent.iter();
    Write::new(SPENT, sheet.new_spent.len())
        .with(each().map(|token| token.name.as_slice()))
        .with(each().map(|token| micros(token.expires)))
}

fn sets<'a>(sheet: &'a Sheet<'_>) -> Result<Write<'a>, StoreError> {
    let new = sheet.new_sets.iter();
    let rows: Vec<(i64, &SetRow)> = new
        .filter_map(|id| Some((*id, sheet.sets.get(id)?)))
        .collect();
    let each = || rows.iter().map(|(_, row)| *row);
    let sealed = |row: &SetRow| {
        let own = &sheet.mailbox_row(row.mailbox)?.own;
        Ok(own.secret(row.set.secret()).to_vec())
    };
    let secrets: Vec<Vec<u8>> = each().map(sealed).collect::<Result<_, StoreError>>()?;
    Ok(Write::new(SETS, rows.len())
        .with(rows.iter().map(|(id, _)| *id))
        .with(each().map(|row| row.mailbox))
        .with(secrets.into_iter())
        .with(each().map(|row| i64::from(row.set.size().count()))))
}

fn names<'a>(sheet: &Sheet<'_>) -> Write<'a> {
    let new: BTreeSet<i64> = sheet.new_sets.iter().copied().collect();
    // In the order of the table.
    let each = || sheet.names.iter().filter(|(_, (set, _))| new.contains(set));
    Write::new(NAMES, if new.is_empty() { 0 } else { each().count() })
        .with(each().map(|(tag, _)| *tag))
        .with(each().map(|(_, (set, _))| *set))
        .with(each().map(|(_, (_, number))| i32::from(*number)))
}

fn drops<'a>(sheet: &'a Sheet<'_>) -> Write<'a> {
    let changed = sheet.changed_drops.iter();
    let rows: Vec<(i64, &DropRow)> = changed
        .filter_map(|id| Some((*id, sheet.drops.get(id)?)))
        .collect();
    let each = || rows.iter().map(|(_, row)| *row);
    Write::new(DROPS, rows.len())
        .with(rows.iter().map(|(id, _)| *id))
        .with(each().map(|row| row.set))
        .with(each().map(|row| i32::from(row.number)))
        .with(each().map(|row| row.mailbox))
        .with(each().map(|row| row.revoked))
        .with(each().map(|row| row.tally.waiting().cast_signed()))
        .with(each().map(|row| row.tally.remembered().cast_signed()))
        .with(each().map(|row| row.tally.freed().parts().0.cast_signed()))
        .with(each().map(|row| row.tally.freed().parts().1.cast_signed()))
}

/// What has come to be in this place, with its id.
fn moved<'a, 's>(sheet: &'a Sheet<'s>, to: Place) -> Vec<(i64, &'a EntryRow<'s>)> {
    let here = |row: &EntryRow<'_>| row.is == to && row.was != to;
    let rows = sheet.entries.iter().filter(|(_, row)| here(row));
    rows.map(|(id, row)| (*id, row)).collect()
}

/// The deposit ids of these, sealed.
fn messages(sheet: &Sheet<'_>, rows: &[(i64, &EntryRow<'_>)]) -> Result<Vec<Vec<u8>>, StoreError> {
    let sealed = |(_, row): &(i64, &EntryRow<'_>)| {
        let own = &sheet.mailbox_row(row.mailbox)?.own;
        Ok(own.message(&row.message).to_vec())
    };
    rows.iter().map(sealed).collect()
}

fn entries<'a>(sheet: &'a Sheet<'_>) -> Result<Write<'a>, StoreError> {
    let rows = moved(sheet, Place::Waiting);
    let each = || rows.iter().map(|(_, row)| *row);
    Ok(Write::new(ENTRIES, rows.len())
        .with(rows.iter().map(|(id, _)| *id))
        .with(each().map(|row| row.mailbox))
        .with(each().map(|row| row.entry))
        .with(each().map(|row| row.drop))
        .with(messages(sheet, &rows)?.into_iter())
        .with(each().map(|row| row.expires))
        .with(each().map(|row| row.blob.map(|blob| blob.as_bytes().as_slice()))))
}

fn remembered<'a>(sheet: &'a Sheet<'_>) -> Result<Write<'a>, StoreError> {
    let rows = moved(sheet, Place::Remembered);
    let each = || rows.iter().map(|(_, row)| *row);
    Ok(Write::new(REMEMBERED, rows.len())
        .with(rows.iter().map(|(id, _)| *id))
        .with(each().map(|row| row.mailbox))
        .with(each().map(|row| row.entry))
        .with(each().map(|row| row.drop))
        .with(messages(sheet, &rows)?.into_iter())
        .with(each().map(|row| row.expires)))
}
