//! Rows into tables that are empty, in one transaction.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use shoal_packet::command::DropSet;
use shoal_proto::{DropId, MailboxId};

use super::super::database::{CELLS, ENTRIES, MOST_ENTRIES, MOST_SETS, drop_id, failure, set_id};
use super::super::drops::{named, own, set_of};
use super::{number, verify};
use crate::StoreKey;
use crate::offline::copy::CopyError;
use crate::offline::record::{DropRecord, EntryRecord, MailboxRecord, Record, SetRecord};
use crate::seal::OwnKey;
use crate::store::SpentToken;
use crate::times::micros;

/// What rows do not say: how many entries there are. For these mailboxes.
const COUNTS: [&str; 2] = [
    "UPDATE cells SET waiting = \
     (SELECT count(*) FROM messages WHERE messages.drop_id = cells.id AND EXISTS (SELECT 1 \
     FROM cells AS waits WHERE waits.id = messages.mailbox + 16777216 + messages.entry)), \
     remembered = \
     (SELECT count(*) FROM messages WHERE messages.drop_id = cells.id AND NOT EXISTS (SELECT 1 \
     FROM cells AS waits WHERE waits.id = messages.mailbox + 16777216 + messages.entry)) \
     WHERE id >= ?1 AND id < ?2 AND revoked IS NOT NULL",
    "UPDATE cells SET \
     waiting = (SELECT count(*) FROM cells AS waits WHERE waits.id > cells.id + 16777216 \
     AND waits.id < cells.id + 4294967296), \
     remembered = (SELECT coalesce(sum(drops.remembered), 0) FROM cells AS drops WHERE drops.id > cells.id \
     AND drops.id < cells.id + 16777216) \
     WHERE id >= ?1 AND id < ?2 AND created_us IS NOT NULL",
];
/// And of all together. What still takes up room is that of the last step.
const TOTALS: &str = "UPDATE totals SET last_id = ?1, (mailboxes, entries, remembered, freed_step) = \
    (SELECT count(*), coalesce(sum(waiting), 0), coalesce(sum(remembered), 0), coalesce(max(freed_step), 0) \
    FROM cells WHERE created_us IS NOT NULL)";
const TOTAL_FREED: &str = "UPDATE totals SET freed = (SELECT coalesce(sum(cells.freed), 0) FROM cells \
    WHERE created_us IS NOT NULL AND cells.freed_step = totals.freed_step)";
/// Mailboxes that are counted in one statement, for which SQLite remembers all pages that it changes.
const COUNT_MAILBOXES: i64 = 20_000;
/// Names that are sorted at once: 128 MiB of them. They go to random places of a large table, so in another order
/// each would write a page of its own.
const SORTED_NAMES: u64 = 8 << 20;

pub(super) fn all(
    connection: &mut Connection,
    key: &mut StoreKey,
    next: &mut dyn FnMut() -> Result<Option<Record>, CopyError>,
) -> Result<(), CopyError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failure)?;
    let held = "SELECT EXISTS (SELECT 1 FROM owners) OR EXISTS (SELECT 1 FROM sets) OR EXISTS (SELECT 1 FROM names) \
        OR EXISTS (SELECT 1 FROM cells) OR EXISTS (SELECT 1 FROM messages) OR EXISTS (SELECT 1 FROM blobs) OR EXISTS (SELECT 1 FROM spent)";
    if number(&transaction, held)? > 0 {
        return Err(CopyError::NotEmpty);
    }
    let (mut row, mut named) = (0, false);
    while let Some(record) = next()? {
        row += 1;
        if !named && matches!(record, Record::Drop(_) | Record::Entry(_)) {
            insert_names(&transaction, key)?;
            named = true;
        }
        match &record {
            Record::Mailbox(mailbox) => insert_mailbox(&transaction, key, row, mailbox)?,
            Record::Set(set) => insert_set(&transaction, key, row, set)?,
            Record::Drop(drop) => insert_drop(&transaction, key, row, drop)?,
            Record::Entry(entry) => insert_entry(&transaction, key, row, entry)?,
            Record::Spent(token) => insert_spent(&transaction, row, token)?,
        }
    }
    if !named {
        insert_names(&transaction, key)?;
    }
    for sql in COUNTS {
        let mut first = 1;
        while first <= row {
            let end = first.saturating_add(COUNT_MAILBOXES);
            transaction
                .prepare_cached(sql)
                .and_then(|mut counts| {
                    counts.execute([first.saturating_mul(CELLS), end.saturating_mul(CELLS)])
                })
                .map_err(failure)?;
            first = end;
        }
    }
    // Numbers of names go on after these: what comes at one time expires in their order.
    transaction
        .execute(TOTALS, [row])
        .and_then(|_| transaction.execute(TOTAL_FREED, []))
        .map_err(failure)?;
    if let Some(fault) = verify::rows(&transaction)?.into_iter().next() {
        return Err(CopyError::Contradiction(fault.to_string()));
    }
    Ok(transaction.commit().map_err(failure)?)
}

/// A row of a copy that the tables do not take.
fn refused(row: i64) -> impl Fn(rusqlite::Error) -> CopyError {
    move |error| match error {
        rusqlite::Error::SqliteFailure(code, _)
            if code.code == rusqlite::ErrorCode::ConstraintViolation =>
        {
            CopyError::Contradiction(format!("row {row} is there twice"))
        }
        other => CopyError::Store(failure(other)),
    }
}

fn insert_mailbox(
    transaction: &Transaction<'_>,
    key: &mut StoreKey,
    row: i64,
    mailbox: &MailboxRecord,
) -> Result<(), CopyError> {
    let own = key.fresh(&mailbox.key);
    let attended = mailbox.attended;
    let (step, freed) = mailbox.freed.parts();
    let number = |field: fn(&crate::window::Attended) -> u64| {
        attended.as_ref().map(field).map(u64::cast_signed)
    };
    let id = row.saturating_mul(CELLS);
    transaction
        .prepare_cached("INSERT INTO owners (key, mailbox) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute(params![key.mailbox(&mailbox.key), id]))
        .map_err(refused(row))?;
    transaction
        .prepare_cached(
            "INSERT INTO cells (id, sealed, generation, window_highest, window_bits, window_refused, \
             stream, created_us, used_us, next_entry, freed_step, freed, closed, sets, waiting, remembered) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, 0, 0)",
        )
        .map_err(failure)?
        .execute(params![
            id,
            key.seal(&own),
            number(|it| it.generation),
            number(|it| it.window.highest()).unwrap_or(0),
            number(|it| it.window.bits()).unwrap_or(0),
            number(|it| it.window.refused()).unwrap_or(0),
            number(|it| it.stream).unwrap_or(0),
            micros(mailbox.created),
            micros(mailbox.used),
            mailbox.next_entry.number().cast_signed(),
            step.cast_signed(),
            freed.cast_signed(),
            mailbox.closed,
        ])
        .map_err(refused(row))?;
    Ok(())
}

fn insert_set(
    transaction: &Transaction<'_>,
    key: &StoreKey,
    row: i64,
    set: &SetRecord,
) -> Result<(), CopyError> {
    let (mailbox, own) = mailbox_of(transaction, key, row, &set.mailbox)?;
    let place: i64 = transaction
        .prepare_cached("UPDATE cells SET sets = sets + 1 WHERE id = ?1 RETURNING sets")
        .and_then(|mut next| next.query_row([mailbox], |row| row.get(0)))
        .map_err(failure)?;
    if place.cast_unsigned() > MOST_SETS {
        let error = format!("row {row} is of a mailbox that has more sets than there can be");
        return Err(CopyError::Contradiction(error));
    }
    transaction
        .prepare_cached("INSERT INTO sets (id, mailbox, secret, size) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failure)?
        .execute(params![
            set_id(mailbox, place),
            mailbox,
            own.secret(set.set.secret()),
            set.set.size().count()
        ])
        .map_err(refused(row))?;
    Ok(())
}

/// The names of all sets, in the order of their table.
fn insert_names(transaction: &Transaction<'_>, key: &StoreKey) -> Result<(), CopyError> {
    let all = number(transaction, "SELECT coalesce(sum(size), 0) FROM sets")?;
    let passes = all.cast_unsigned().div_ceil(SORTED_NAMES).max(1);
    let width = u64::MAX / passes;
    for pass in 0..passes {
        let first = width * pass;
        let last = match pass + 1 == passes {
            true => u64::MAX,
            false => first + (width - 1),
        };
        // Signed tags are in this order when their highest bit is turned.
        let turned = |tag: i64| tag.cast_unsigned() ^ (1 << 63);
        let mut names: Vec<(i64, i64)> = Vec::new();
        each_set(transaction, key, |id, mailbox, set| {
            for (number, drop) in set.ids(&mailbox) {
                let tag = key.tag(&drop);
                if (first..=last).contains(&turned(tag)) {
                    names.push((tag, (id << 8) | i64::from(number)));
                }
            }
        })
        .map_err(failure)?;
        names.sort_unstable();
        let mut insert = transaction
            .prepare_cached("INSERT INTO names (tag, set_id, number) VALUES (?1, ?2, ?3)")
            .map_err(failure)?;
        for (tag, place) in names {
            let set = place >> 8;
            insert
                .execute([tag, set, place & 0xff])
                .map_err(refused(set >> 9))?;
        }
    }
    Ok(())
}

fn each_set(
    transaction: &Transaction<'_>,
    key: &StoreKey,
    mut each: impl FnMut(i64, MailboxId, DropSet),
) -> rusqlite::Result<()> {
    let mut sets = transaction.prepare_cached(
        "SELECT sets.id, sealed, secret, size FROM sets \
         CROSS JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox",
    )?;
    let mut rows = sets.query([])?;
    while let Some(row) = rows.next()? {
        let own = own(key, row, 1)?;
        each(row.get(0)?, *own.owner(), set_of(&own, row, 2, 3)?);
    }
    Ok(())
}

/// The number of a drop id of a mailbox in the tables.
fn name(
    transaction: &Transaction<'_>,
    key: &StoreKey,
    row: i64,
    mailbox: &MailboxId,
    drop: &DropId,
) -> Result<i64, CopyError> {
    let found = transaction
        .prepare_cached(
            "SELECT mailboxes.sealed, secret, size, number, set_id FROM names \
             JOIN sets ON sets.id = set_id JOIN cells AS mailboxes ON mailboxes.id = sets.mailbox WHERE tag = ?1",
        )
        .and_then(|mut one| {
            one.query_row([key.tag(drop)], |row| {
                let own = own(key, row, 0)?.owner() == mailbox && named(key, row)? == *drop;
                Ok(own.then_some(drop_id(row.get(4)?, row.get(3)?)))
            })
            .optional()
        })
        .map_err(failure)?;
    found
        .flatten()
        .ok_or_else(|| CopyError::Contradiction(format!("row {row} is of no set of its mailbox")))
}

fn insert_drop(
    transaction: &Transaction<'_>,
    key: &StoreKey,
    row: i64,
    drop: &DropRecord,
) -> Result<(), CopyError> {
    let (step, freed) = drop.freed.parts();
    let id = name(transaction, key, row, &drop.mailbox, &drop.key)?;
    transaction
        .prepare_cached(
            "INSERT INTO cells (id, revoked, waiting, remembered, freed_step, freed) \
             VALUES (?1, ?2, 0, 0, ?3, ?4)",
        )
        .map_err(failure)?
        .execute(params![
            id,
            drop.revoked,
            step.cast_signed(),
            freed.cast_signed(),
        ])
        .map_err(refused(row))?;
    Ok(())
}

fn insert_entry(
    transaction: &Transaction<'_>,
    key: &StoreKey,
    row: i64,
    entry: &EntryRecord,
) -> Result<(), CopyError> {
    let (mailbox, own) = mailbox_of(transaction, key, row, &entry.mailbox)?;
    let message = own.message(&entry.message);
    let drop = name(transaction, key, row, &entry.mailbox, &entry.drop)?;
    let number = entry.entry.number().cast_signed();
    if !(1..MOST_ENTRIES).contains(&number) {
        let error = format!("row {row} has a number that no entry has");
        return Err(CopyError::Contradiction(error));
    }
    let expires = micros(entry.expires);
    if let Some(blob) = &entry.blob {
        transaction
            .prepare_cached(
                "INSERT INTO cells (id, drop_id, name_id, expires_us) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut insert| {
                let id = mailbox.saturating_add(ENTRIES).saturating_add(number);
                insert.execute([id, drop, row, expires])
            })
            .map_err(refused(row))?;
        transaction
            .prepare_cached("INSERT INTO blobs (id, message, blob) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| {
                let blob = blob.as_bytes().as_slice();
                insert.execute(params![row, message, blob])
            })
            .map_err(refused(row))?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO messages (drop_id, message, mailbox, entry, expires_us, id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .and_then(|mut insert| {
            insert.execute(params![drop, message, mailbox, number, expires, row])
        })
        .map_err(refused(row))?;
    Ok(())
}

fn insert_spent(
    transaction: &Transaction<'_>,
    row: i64,
    token: &SpentToken,
) -> Result<(), CopyError> {
    transaction
        .prepare_cached("INSERT INTO spent (name, expires_us) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute(params![token.name, micros(token.expires)]))
        .map_err(refused(row))?;
    Ok(())
}

fn mailbox_of(
    transaction: &Transaction<'_>,
    key: &StoreKey,
    row: i64,
    owner: &MailboxId,
) -> Result<(i64, OwnKey), CopyError> {
    let found = transaction
        .prepare_cached("SELECT id, sealed FROM owners JOIN cells ON id = mailbox WHERE key = ?1")
        .and_then(|mut one| {
            one.query_row([key.mailbox(owner)], |row| {
                Ok((row.get(0)?, own(key, row, 1)?))
            })
            .optional()
        })
        .map_err(failure)?;
    found.ok_or_else(|| CopyError::Contradiction(format!("row {row} is of no mailbox")))
}
