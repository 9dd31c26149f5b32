//! Entries: put, list, ack, expire.

use rusqlite::types::FromSqlError;
use rusqlite::{OptionalExtension, Row, params};
use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId};

use super::database::{failure, wrong_length};
use super::drops::{DropRow, number, set_of};
use super::work::Work;
use crate::StoreError;
use crate::store::{EntryId, StoreOutcome, StoredEntry};

/// An entry as removing it needs it.
struct Gone {
    id: i64,
    mailbox: i64,
    drop: i64,
    waited: bool,
}

impl Work<'_> {
    pub(super) fn put(
        &mut self,
        drop: &DropId,
        message: &MessageId,
        blob: &Blob,
        expires: i64,
    ) -> Result<StoreOutcome, StoreError> {
        let mut row = self.drop_row(drop)?.filter(|row| !row.revoked);
        if let Some(row) = &mut row
            && let Some(id) = row.id
            && let Some((gone, entry, until)) = self.find(id, message)?
        {
            if until > self.now() {
                return Ok(StoreOutcome::Stored {
                    mailbox: row.key,
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
            row.occupied < limits.entries_per_drop && row.in_mailbox < limits.entries_per_mailbox
        };
        let Some(row) = row.filter(fits).filter(|_| expires > self.now()) else {
            return Ok(StoreOutcome::Refused);
        };
        let drop = self.use_drop(&row)?;
        let entry = self.insert(row.mailbox, drop, message, blob, expires)?;
        Ok(StoreOutcome::Stored {
            mailbox: row.key,
            entry: Some(entry),
        })
    }

    /// The entry of this name, its number if it waits, and when it expires.
    fn find(
        &self,
        drop: i64,
        message: &MessageId,
    ) -> Result<Option<(Gone, Option<EntryId>, i64)>, StoreError> {
        self.prepare(
            "SELECT id, mailbox, drop_id, 1, entry, expires_us FROM entries \
                 WHERE drop_id = ?1 AND message = ?2 \
                 UNION ALL SELECT id, mailbox, drop_id, 0, NULL, expires_us FROM remembered \
                 WHERE drop_id = ?1 AND message = ?2",
        )?
        .query_row(params![drop, message.as_bytes()], |row| {
            let entry = row.get::<_, Option<i64>>(4)?;
            let entry = entry.map(|entry| EntryId::new(entry.cast_unsigned()));
            Ok((gone(row)?, entry, row.get(5)?))
        })
        .optional()
        .map_err(failure)
    }

    fn insert(
        &mut self,
        mailbox: i64,
        drop: i64,
        message: &MessageId,
        blob: &Blob,
        expires: i64,
    ) -> Result<EntryId, StoreError> {
        let entry: i64 = self
            .prepare(
                "UPDATE mailboxes SET next_entry = next_entry + 1, waiting = waiting + 1, \
                 used_us = max(used_us, ?2) WHERE id = ?1 RETURNING next_entry - 1",
            )?
            .query_row(params![mailbox, self.now()], |row| row.get(0))
            .map_err(failure)?;
        self.run("UPDATE drops SET waiting = waiting + 1 WHERE id = ?1", drop)?;
        self.prepare(
            "INSERT INTO entries (mailbox, entry, drop_id, message, expires_us, blob) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            mailbox,
            entry,
            drop,
            message.as_bytes(),
            expires,
            blob.as_bytes().as_slice()
        ])
        .map_err(failure)?;
        self.usage_mut().entries += 1;
        Ok(EntryId::new(entry.cast_unsigned()))
    }

    pub(super) fn ack(&mut self, mailbox: i64, entry: EntryId) -> Result<(), StoreError> {
        let Ok(number) = i64::try_from(entry.number()) else {
            return Ok(());
        };
        let moved: Option<(i64, i64)> = self
            .prepare(
                "INSERT INTO remembered (id, mailbox, drop_id, message, expires_us) \
                 SELECT id, mailbox, drop_id, message, expires_us FROM entries \
                 WHERE mailbox = ?1 AND entry = ?2 RETURNING id, drop_id",
            )?
            .query_row([mailbox, number], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(failure)?;
        let Some((id, drop)) = moved else {
            return Ok(());
        };
        self.run("DELETE FROM entries WHERE id = ?1", id)?;
        for (table, id) in [("mailboxes", mailbox), ("drops", drop)] {
            let moved = format!(
                "UPDATE {table} SET waiting = waiting - 1, remembered = remembered + 1, \
                 freed = iif(freed_step = ?2, freed, 0) + 1, freed_step = ?2 WHERE id = ?1"
            );
            self.prepare(&moved)?
                .execute([id, self.step()])
                .map_err(failure)?;
        }
        self.free_later();
        self.usage_mut().entries = self.usage().entries.saturating_sub(1);
        self.usage_mut().remembered += 1;
        self.forget_oldest(drop)
    }

    fn forget_oldest(&mut self, drop: i64) -> Result<(), StoreError> {
        let remembered: i64 = self
            .prepare("SELECT remembered FROM drops WHERE id = ?1")?
            .query_row([drop], |row| row.get(0))
            .map_err(failure)?;
        if remembered.cast_unsigned() <= self.limits().remembered_per_drop {
            return Ok(());
        }
        let oldest = self
            .prepare(
                "SELECT id, mailbox, drop_id, 0 FROM remembered \
                 WHERE drop_id = ?1 ORDER BY id LIMIT 1",
            )?
            .query_row([drop], gone)
            .optional()
            .map_err(failure)?;
        match oldest {
            Some(oldest) => self.remove(&oldest),
            None => Ok(()),
        }
    }

    fn remove(&mut self, gone: &Gone) -> Result<(), StoreError> {
        let (table, column, total) = if gone.waited {
            ("entries", "waiting", &mut self.usage_mut().entries)
        } else {
            ("remembered", "remembered", &mut self.usage_mut().remembered)
        };
        *total = total.saturating_sub(1);
        self.run(&format!("DELETE FROM {table} WHERE id = ?1"), gone.id)?;
        let less = format!("SET {column} = {column} - 1 WHERE id = ?1");
        self.run(&format!("UPDATE mailboxes {less}"), gone.mailbox)?;
        self.run(&format!("UPDATE drops {less}"), gone.drop)
    }

    pub(super) fn waiting(&self, mailbox: &MailboxId) -> Result<StoreOutcome, StoreError> {
        let Some(id) = self.mailbox(mailbox)? else {
            return Ok(StoreOutcome::Waiting(Vec::new()));
        };
        let mut drops: Vec<(DropId, EntryId)> = self
            .prepare(
                "SELECT sets.secret, sets.size, drops.number, max(entries.entry) FROM drops \
                 JOIN sets ON sets.id = drops.set_id \
                 JOIN entries ON entries.drop_id = drops.id \
                 WHERE drops.mailbox = ?1 AND drops.waiting > 0 \
                 AND entries.expires_us > ?2 \
                 GROUP BY drops.id",
            )?
            .query_map([id, self.now()], |row| {
                let drop = set_of(row, 0, 1)?.id(mailbox, number(row, 2)?);
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
        let own = self.drop_row(drop)?.filter(|row| row.key == *mailbox);
        let Some(id) = own.and_then(|row| row.id) else {
            return Ok(StoreOutcome::Entries(Vec::new()));
        };
        let after = i64::try_from(after.number()).unwrap_or(i64::MAX);
        let entries = self
            .prepare(
                "SELECT entry, message, blob FROM entries WHERE drop_id = ?1 AND entry > ?2 \
                 AND expires_us > ?3 ORDER BY entry LIMIT ?4",
            )?
            .query_map(params![id, after, self.now(), limit], listed)
            .and_then(Iterator::collect)
            .map_err(failure)?;
        Ok(StoreOutcome::Entries(entries))
    }

    pub(super) fn expire(&mut self) -> Result<StoreOutcome, StoreError> {
        let batch = u64::from(self.limits().expire_batch);
        let expired: Vec<Gone> = self
            .prepare(
                "SELECT id, mailbox, drop_id, 1, expires_us FROM entries WHERE expires_us <= ?1 \
                 UNION ALL \
                 SELECT id, mailbox, drop_id, 0, expires_us FROM remembered \
                 WHERE expires_us <= ?1 ORDER BY expires_us, id LIMIT ?2",
            )?
            .query_map(params![self.now(), self.limits().expire_batch], gone)
            .and_then(Iterator::collect)
            .map_err(failure)?;
        for entry in &expired {
            self.remove(entry)?;
        }
        let mailboxes = self.give_up()?;
        let entries = expired.len() as u64;
        Ok(StoreOutcome::Expired {
            removed: entries + mailboxes,
            more: entries == batch || mailboxes == u64::from(crate::limits::IDLE_BATCH),
        })
    }
}

fn gone(row: &Row<'_>) -> rusqlite::Result<Gone> {
    Ok(Gone {
        id: row.get(0)?,
        mailbox: row.get(1)?,
        drop: row.get(2)?,
        waited: row.get(3)?,
    })
}

fn listed(row: &Row<'_>) -> rusqlite::Result<StoredEntry> {
    let bytes = row.get_ref(2)?.as_blob()?;
    let blob = Blob::from_bytes(bytes).map_err(|error| -> FromSqlError { wrong_length(error) })?;
    Ok(StoredEntry {
        entry: EntryId::new(row.get::<_, i64>(0)?.cast_unsigned()),
        message: MessageId::new(row.get(1)?),
        blob: Box::new(blob),
    })
}
