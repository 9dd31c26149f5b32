//! Entries: put, list, ack, expire.

use rusqlite::types::FromSqlError;
use rusqlite::{OptionalExtension, Row, params};
use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId};

use super::database::{failure, wrong_length};
use super::mailboxes::{DropRow, MailboxRow};
use super::work::Work;
use crate::StoreError;
use crate::store::{EntryId, Owner, StoreOutcome, StoredEntry};

/// Where a deposit goes.
struct Place {
    key: MailboxId,
    mailbox: Option<MailboxRow>,
    /// The mailbox's row of the drop id.
    row: Option<DropRow>,
}

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
        owner: &Owner,
        blob: &Blob,
        expires: i64,
    ) -> Result<StoreOutcome, StoreError> {
        let Some(Place { key, mailbox, row }) = self.place(drop, owner)? else {
            return Ok(StoreOutcome::Refused);
        };
        let mut in_drop = row.as_ref().map_or(0, |row| row.occupied);
        let mut in_mailbox = mailbox.as_ref().map_or(0, |row| row.occupied);
        if let Some(row) = &row
            && let Some((gone, entry, until)) = self.find(row.id, message)?
        {
            if until > self.now() {
                return Ok(StoreOutcome::Stored {
                    mailbox: key,
                    entry,
                });
            }
            self.remove(&gone)?;
            in_drop = in_drop.saturating_sub(u64::from(gone.waited));
            in_mailbox = in_mailbox.saturating_sub(u64::from(gone.waited));
        }
        let room = in_drop < self.limits().entries_per_drop
            && in_mailbox < self.limits().entries_per_mailbox
            && self.has_room();
        if expires <= self.now() || !room {
            return Ok(StoreOutcome::Refused);
        }
        let mailbox = match mailbox {
            Some(row) => row.id,
            None => self.create(&key)?,
        };
        let drop = match row {
            Some(row) => row.id,
            None => self.register(mailbox, drop, None)?,
        };
        let entry = self.insert(mailbox, drop, message, blob, expires)?;
        Ok(StoreOutcome::Stored {
            mailbox: key,
            entry: Some(entry),
        })
    }

    /// Where a deposit goes; none if nobody takes it.
    fn place(&self, drop: &DropId, owner: &Owner) -> Result<Option<Place>, StoreError> {
        let key = match owner {
            Owner::First => match self.first(drop)? {
                Some(key) => key,
                None => return Ok(None),
            },
            Owner::Named(key) | Owner::Granted(key) => *key,
        };
        let (mailbox, row) = self.rows(&key, drop)?;
        let takes = match &row {
            Some(row) => !row.revoked,
            None => matches!(owner, Owner::Granted(_)) && self.may_register(mailbox.as_ref()),
        };
        Ok(takes.then_some(Place { key, mailbox, row }))
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

    pub(super) fn waiting(&self, key: &MailboxId) -> Result<StoreOutcome, StoreError> {
        let Some(mailbox) = self.mailbox(key)? else {
            return Ok(StoreOutcome::Waiting(Vec::new()));
        };
        let drops = self
            .prepare(
                "SELECT drops.key, max(entries.entry) FROM drops \
                 JOIN entries ON entries.drop_id = drops.id \
                 WHERE drops.mailbox = ?1 AND drops.waiting > 0 \
                 AND entries.expires_us > ?2 \
                 GROUP BY drops.id ORDER BY drops.key",
            )?
            .query_map([mailbox.id, self.now()], |row| {
                let newest: i64 = row.get(1)?;
                Ok((
                    DropId::new(row.get(0)?),
                    EntryId::new(newest.cast_unsigned()),
                ))
            })
            .and_then(Iterator::collect)
            .map_err(failure)?;
        Ok(StoreOutcome::Waiting(drops))
    }

    pub(super) fn list(
        &self,
        key: &MailboxId,
        drop: &DropId,
        after: EntryId,
        limit: u32,
    ) -> Result<StoreOutcome, StoreError> {
        let (_, Some(row)) = self.rows(key, drop)? else {
            return Ok(StoreOutcome::Entries(Vec::new()));
        };
        let after = i64::try_from(after.number()).unwrap_or(i64::MAX);
        let entries = self
            .prepare(
                "SELECT entry, message, blob FROM entries WHERE drop_id = ?1 AND entry > ?2 \
                 AND expires_us > ?3 ORDER BY entry LIMIT ?4",
            )?
            .query_map(params![row.id, after, self.now(), limit], listed)
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
        let (drops, mailboxes) = self.give_up()?;
        let entries = expired.len() as u64;
        Ok(StoreOutcome::Expired {
            removed: entries + drops + mailboxes,
            more: entries == batch
                || drops == batch
                || mailboxes == u64::from(crate::limits::IDLE_BATCH),
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
