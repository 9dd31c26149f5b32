//! Entries: put, list, ack, expire.

use rusqlite::types::FromSqlError;
use rusqlite::{OptionalExtension, Row, params};
use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId};

use super::database::{CELLS, ENTRIES, MOST_ENTRIES, failure, unsealed, wrong_length};
use super::drops::{DropRow, number, set_of};
use super::work::Work;
use crate::StoreError;
use crate::seal::{OwnKey, SealedMessage};
use crate::store::{EntryId, StoreOutcome, StoredEntry};

/// An entry as removing it needs it.
struct Gone {
    mailbox: i64,
    drop: i64,
    /// Sealed.
    message: SealedMessage,
    entry: i64,
    /// Its name's, and its blob's.
    id: i64,
    waited: bool,
}

/// Names, and whether what they name waits: to be read by [`gone`].
const GONE: &str = "SELECT messages.mailbox, messages.drop_id, messages.message, messages.entry, messages.id, waits.id IS NOT NULL, \
    messages.expires_us \
    FROM messages LEFT JOIN cells AS waits ON waits.id = messages.mailbox + 16777216 + messages.entry";
const _: () = assert!(ENTRIES == 16_777_216);

/// The id of an entry's cell; none of numbers that no entry has.
fn cell(mailbox: i64, number: i64) -> Option<i64> {
    let known = (1..MOST_ENTRIES).contains(&number);
    known.then(|| mailbox.saturating_add(ENTRIES).saturating_add(number))
}

impl Work<'_> {
    pub(super) fn put(
        &mut self,
        drop: &DropId,
        message: &MessageId,
        blob: &Blob,
        expires: i64,
    ) -> Result<StoreOutcome, StoreError> {
        let mut row = self.drop_row(drop)?.filter(|row| !row.refuses);
        if let Some(row) = &mut row
            && row.is_used
            && let Some((gone, until)) = self.find(row.id, &row.own.message(message))?
        {
            if until > self.now() {
                let entry = gone
                    .waited
                    .then(|| EntryId::new(gone.entry.cast_unsigned()));
                return Ok(StoreOutcome::Stored {
                    mailbox: *row.own.owner(),
                    entry,
                });
            }
            self.remove(&gone)?;
            row.occupied = row.occupied.saturating_sub(u64::from(gone.waited));
            row.in_mailbox = row.in_mailbox.saturating_sub(u64::from(gone.waited));
        }
        // Whomever it is for: or it would tell which drop ids are good.
        if !self.has_room() {
            return Ok(StoreOutcome::Full);
        }
        let limits = self.limits();
        let fits = |row: &DropRow| {
            row.occupied < limits.entries_per_drop
                && row.in_mailbox < limits.entries_per_mailbox
                && row.next_entry < MOST_ENTRIES
        };
        let Some(row) = row.filter(fits).filter(|_| expires > self.now()) else {
            return Ok(StoreOutcome::Refused);
        };
        let entry = self.insert(&row, message, blob, expires)?;
        Ok(StoreOutcome::Stored {
            mailbox: *row.own.owner(),
            entry: Some(entry),
        })
    }

    /// The entry of this name, and when it expires.
    fn find(&self, drop: i64, message: &SealedMessage) -> Result<Option<(Gone, i64)>, StoreError> {
        self.prepare(&format!(
            "{GONE} WHERE messages.drop_id = ?1 AND messages.message = ?2"
        ))?
        .query_row(params![drop, message], |row| Ok((gone(row)?, row.get(6)?)))
        .optional()
        .map_err(failure)
    }

    fn insert(
        &mut self,
        row: &DropRow,
        message: &MessageId,
        blob: &Blob,
        expires: i64,
    ) -> Result<EntryId, StoreError> {
        let entry: i64 = self
            .prepare(
                "UPDATE cells SET next_entry = next_entry + 1, waiting = waiting + 1, \
                 used_us = max(used_us, ?2) WHERE id = ?1 RETURNING next_entry - 1",
            )?
            .query_row(params![row.mailbox, self.hour()], |row| row.get(0))
            .map_err(failure)?;
        self.use_drop(row, false)?;
        let message = row.own.message(message);
        let id = self.next_id();
        self.prepare("INSERT INTO blobs (id, message, blob) VALUES (?1, ?2, ?3)")?
            .execute(params![id, message, blob.as_bytes().as_slice()])
            .map_err(failure)?;
        self.prepare(
            "INSERT INTO cells (id, drop_id, name_id, expires_us) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![cell(row.mailbox, entry), row.id, id, expires])
        .map_err(failure)?;
        self.prepare(
            "INSERT INTO messages (drop_id, message, mailbox, entry, expires_us, id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![row.id, message, row.mailbox, entry, expires, id])
        .map_err(failure)?;
        self.usage_mut().entries += 1;
        Ok(EntryId::new(entry.cast_unsigned()))
    }

    pub(super) fn ack(&mut self, mailbox: i64, entry: EntryId) -> Result<(), StoreError> {
        let number = i64::try_from(entry.number()).ok();
        let Some(id) = number.and_then(|number| cell(mailbox, number)) else {
            return Ok(());
        };
        let acknowledged: Option<(i64, i64)> = self
            .prepare("DELETE FROM cells WHERE id = ?1 RETURNING drop_id, name_id")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(failure)?;
        let Some((drop, blob)) = acknowledged else {
            return Ok(());
        };
        self.run("DELETE FROM blobs WHERE id = ?1", blob)?;
        let counted = "SET waiting = waiting - 1, remembered = remembered + 1, \
            freed = iif(freed_step = ?2, freed, 0) + 1, freed_step = ?2";
        self.prepare(&format!("UPDATE cells {counted} WHERE id = ?1"))?
            .execute([mailbox, self.step()])
            .map_err(failure)?;
        let remembered: i64 = self
            .prepare(&format!(
                "UPDATE cells {counted} WHERE id = ?1 RETURNING remembered"
            ))?
            .query_row([drop, self.step()], |row| row.get(0))
            .map_err(failure)?;
        self.free_later();
        self.usage_mut().entries = self.usage().entries.saturating_sub(1);
        self.usage_mut().remembered += 1;
        match remembered.cast_unsigned() > self.limits().remembered_per_drop {
            true => self.forget_oldest(drop),
            false => Ok(()),
        }
    }

    /// Numbers grow, so the lowest is the oldest; what waits is passed over.
    fn forget_oldest(&mut self, drop: i64) -> Result<(), StoreError> {
        let oldest = self
            .prepare(&format!(
                "{GONE} WHERE messages.drop_id = ?1 AND waits.id IS NULL ORDER BY messages.entry LIMIT 1"
            ))?
            .query_row([drop], gone)
            .optional()
            .map_err(failure)?;
        match oldest {
            Some(oldest) => self.remove(&oldest),
            None => Ok(()),
        }
    }

    fn remove(&mut self, gone: &Gone) -> Result<(), StoreError> {
        self.prepare("DELETE FROM messages WHERE drop_id = ?1 AND message = ?2")?
            .execute(params![gone.drop, gone.message])
            .map_err(failure)?;
        let usage = self.usage_mut();
        let (column, total) = match gone.waited {
            true => ("waiting", &mut usage.entries),
            false => ("remembered", &mut usage.remembered),
        };
        *total = total.saturating_sub(1);
        if gone.waited {
            self.run("DELETE FROM blobs WHERE id = ?1", gone.id)?;
            self.prepare("DELETE FROM cells WHERE id = ?1")?
                .execute([cell(gone.mailbox, gone.entry)])
                .map_err(failure)?;
        }
        let less = format!("SET {column} = {column} - 1");
        let less = format!("UPDATE cells {less} WHERE id = ?1");
        self.run(&less, gone.mailbox)?;
        self.run(&less, gone.drop)
    }

    pub(super) fn waiting(&self, mailbox: &MailboxId) -> Result<StoreOutcome, StoreError> {
        let Some(id) = self.mailbox(mailbox)? else {
            return Ok(StoreOutcome::Waiting(Vec::new()));
        };
        let own = self.own(id)?;
        let first = id.saturating_add(ENTRIES);
        let mut drops: Vec<(DropId, EntryId)> = self
            .prepare(
                "SELECT sets.secret, sets.size, drop_id & 255, max(cells.id) - ?1 FROM cells \
                 CROSS JOIN sets ON sets.id = ((drop_id >> 32) << 9) | ((drop_id >> 8) & 511) \
                 WHERE cells.id > ?1 AND cells.id < ?2 AND expires_us > ?3 GROUP BY drop_id",
            )?
            .query_map([first, id.saturating_add(CELLS), self.now()], |row| {
                let drop = set_of(&own, row, 0, 1)?.id(mailbox, number(row, 2)?);
                let newest: i64 = row.get(3)?;
                Ok((drop, EntryId::new(newest.cast_unsigned())))
            })
            .and_then(Iterator::collect)
            .map_err(failure)?;
        drops.sort_unstable();
        Ok(StoreOutcome::Waiting(drops))
    }

    pub(super) fn list(
        &self,
        mailbox: &MailboxId,
        drop: &DropId,
        after: EntryId,
        limit: u32,
    ) -> Result<StoreOutcome, StoreError> {
        let own = self
            .drop_row(drop)?
            .filter(|row| row.own.owner() == mailbox);
        let Some(row) = own.filter(|row| row.is_used) else {
            return Ok(StoreOutcome::Entries(Vec::new()));
        };
        let after = i64::try_from(after.number()).unwrap_or(i64::MAX);
        let first = row.mailbox.saturating_add(ENTRIES);
        let entries = self
            .prepare(
                // A mailbox has so few that wait that an index by drop id would cost more than passing over others'.
                "SELECT cells.id - ?1, message, blob FROM cells CROSS JOIN blobs ON blobs.id = name_id \
                 WHERE cells.id > ?1 + ?2 AND cells.id < ?1 + ?3 AND drop_id = ?4 AND expires_us > ?5 \
                 ORDER BY cells.id LIMIT ?6",
            )?
            .query_map(
                params![
                    first,
                    after.min(MOST_ENTRIES),
                    MOST_ENTRIES,
                    row.id,
                    self.now(),
                    limit
                ],
                |one| listed(&row.own, one),
            )
            .and_then(Iterator::collect)
            .map_err(failure)?;
        Ok(StoreOutcome::Entries(entries))
    }

    pub(super) fn expire(&mut self) -> Result<StoreOutcome, StoreError> {
        let batch = u64::from(self.limits().expire_batch);
        let expired: Vec<Gone> = self
            .prepare(&format!(
                "{GONE} WHERE messages.expires_us <= ?1 ORDER BY messages.expires_us, messages.id LIMIT ?2"
            ))?
            .query_map(params![self.now(), self.limits().expire_batch], gone)
            .and_then(Iterator::collect)
            .map_err(failure)?;
        for entry in &expired {
            self.remove(entry)?;
        }
        let spent = self.forget_spent()?;
        let (names, mailboxes) = self.give_up()?;
        let entries = expired.len() as u64;
        Ok(StoreOutcome::Expired {
            removed: entries + names + mailboxes + spent,
            more: [entries, names, spent].contains(&batch)
                || mailboxes == u64::from(crate::limits::IDLE_BATCH),
        })
    }

    /// Forgets the names of acknowledged entries of a mailbox in which nothing waits, at most so many, and says how many.
    pub(super) fn forget_all(&mut self, mailbox: i64, most: u64) -> Result<u64, StoreError> {
        let names: Vec<Gone> = self
            .prepare(&format!(
                "{GONE} WHERE messages.drop_id IN \
                 (SELECT id FROM cells AS used WHERE used.id > ?1 AND used.id < ?1 + 16777216) LIMIT ?2"
            ))?
            .query_map([mailbox, most.cast_signed()], gone)
            .and_then(Iterator::collect)
            .map_err(failure)?;
        for name in &names {
            self.remove(name)?;
        }
        Ok(names.len() as u64)
    }
}

fn gone(row: &Row<'_>) -> rusqlite::Result<Gone> {
    Ok(Gone {
        mailbox: row.get(0)?,
        drop: row.get(1)?,
        message: row.get(2)?,
        entry: row.get(3)?,
        id: row.get(4)?,
        waited: row.get(5)?,
    })
}

fn listed(own: &OwnKey, row: &Row<'_>) -> rusqlite::Result<StoredEntry> {
    let bytes = row.get_ref(2)?.as_blob()?;
    let blob = Blob::from_bytes(bytes).map_err(|error| -> FromSqlError { wrong_length(error) })?;
    Ok(StoredEntry {
        entry: EntryId::new(row.get::<_, i64>(0)?.cast_unsigned()),
        message: own
            .open_message(row.get_ref(1)?.as_blob()?)
            .map_err(unsealed)?,
        blob: Box::new(blob),
    })
}
