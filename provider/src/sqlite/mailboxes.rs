//! Mailboxes and drop ids: attending, registering, revoking.

use rusqlite::{OptionalExtension, params};
use shoal_proto::{DropId, MailboxId};

use super::database::failure;
use super::work::Work;
use crate::store::{Change, EntryId, StoreOutcome};
use crate::window::Attended;
use crate::{StoreError, Window};

/// What an owner's command says about itself.
pub(super) struct Attendance {
    pub(super) generation: u64,
    pub(super) counter: u64,
    pub(super) stream: u64,
}

/// A mailbox, as far as deciding needs it.
pub(super) struct MailboxRow {
    pub(super) id: i64,
    /// Entries that take up room.
    pub(super) occupied: u64,
    drops: u64,
}

/// A drop id.
pub(super) struct DropRow {
    pub(super) id: i64,
    pub(super) revoked: bool,
    /// Entries that take up room.
    pub(super) occupied: u64,
}

impl Work<'_> {
    pub(super) fn mailbox(&self, key: &MailboxId) -> Result<Option<MailboxRow>, StoreError> {
        self.prepare(
            "SELECT id, waiting + iif(freed_step = ?2, freed, 0), drops FROM mailboxes \
                 WHERE key = ?1",
        )?
        .query_row(params![key.as_bytes(), self.step()], |row| {
            Ok(MailboxRow {
                id: row.get(0)?,
                occupied: row.get::<_, i64>(1)?.cast_unsigned(),
                drops: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .optional()
        .map_err(failure)
    }

    /// A drop id of one mailbox.
    fn drop_row(&self, mailbox: i64, key: &DropId) -> Result<Option<DropRow>, StoreError> {
        self.prepare(
            "SELECT id, revoked_us IS NOT NULL, waiting + iif(freed_step = ?3, freed, 0) \
                 FROM drops WHERE mailbox = ?1 AND key = ?2",
        )?
        .query_row(params![mailbox, key.as_bytes(), self.step()], |row| {
            Ok(DropRow {
                id: row.get(0)?,
                revoked: row.get(1)?,
                occupied: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .optional()
        .map_err(failure)
    }

    /// A mailbox and a drop id of it, as far as they are there.
    pub(super) fn rows(
        &self,
        key: &MailboxId,
        drop: &DropId,
    ) -> Result<(Option<MailboxRow>, Option<DropRow>), StoreError> {
        let mailbox = self.mailbox(key)?;
        let row = match &mailbox {
            Some(mailbox) => self.drop_row(mailbox.id, drop)?,
            None => None,
        };
        Ok((mailbox, row))
    }

    /// The mailbox that registered a drop id first.
    pub(super) fn first(&self, drop: &DropId) -> Result<Option<MailboxId>, StoreError> {
        self.prepare(
            "SELECT mailboxes.key FROM drops JOIN mailboxes ON mailboxes.id = drops.mailbox \
                 WHERE drops.key = ?1 ORDER BY drops.id LIMIT 1",
        )?
        .query_row([drop.as_bytes()], |row| Ok(MailboxId::new(row.get(0)?)))
        .optional()
        .map_err(failure)
    }

    /// Whether one more drop id fits a mailbox, which may not exist yet.
    pub(super) const fn may_register(&self, mailbox: Option<&MailboxRow>) -> bool {
        match mailbox {
            Some(row) => row.drops < self.limits().drops_per_mailbox,
            None => {
                self.usage().mailboxes < self.limits().mailboxes
                    && self.limits().drops_per_mailbox > 0
            }
        }
    }

    pub(super) fn create(&mut self, key: &MailboxId) -> Result<i64, StoreError> {
        self.prepare("INSERT INTO mailboxes (key, used_us) VALUES (?1, ?2)")?
            .execute(params![key.as_bytes(), self.now()])
            .map_err(failure)?;
        self.usage_mut().mailboxes += 1;
        Ok(self.last_id())
    }

    pub(super) fn register(
        &self,
        mailbox: i64,
        key: &DropId,
        revoked: Option<i64>,
    ) -> Result<i64, StoreError> {
        self.prepare("INSERT INTO drops (key, mailbox, revoked_us) VALUES (?1, ?2, ?3)")?
            .execute(params![key.as_bytes(), mailbox, revoked])
            .map_err(failure)?;
        let id = self.last_id();
        self.run(
            "UPDATE mailboxes SET drops = drops + 1 WHERE id = ?1",
            mailbox,
        )?;
        Ok(id)
    }

    pub(super) fn attend(
        &mut self,
        key: &MailboxId,
        attendance: &Attendance,
        acks: &[EntryId],
        changes: &[Change],
    ) -> Result<StoreOutcome, StoreError> {
        let mailbox = match self.mailbox(key)? {
            Some(row) => row.id,
            None if self.usage().mailboxes >= self.limits().mailboxes => {
                return Ok(StoreOutcome::Refused);
            }
            None => self.create(key)?,
        };
        let next = Attended::next(
            self.attended(mailbox)?,
            attendance.generation,
            attendance.counter,
            attendance.stream,
        );
        let (fresh, mut attended) = match next {
            Ok(counts) => counts,
            Err(generation) => return Ok(StoreOutcome::Replayed { generation }),
        };
        for entry in acks {
            self.ack(mailbox, *entry)?;
        }
        let mut refused = 0;
        for change in changes {
            refused += u32::from(!self.change(key, mailbox, change)?);
        }
        if refused > 0 {
            attended.window = attended.window.refuse(attendance.counter);
        }
        let Attended {
            generation,
            window,
            stream,
        } = attended;
        self.prepare(
            "UPDATE mailboxes SET generation = ?2, window_highest = ?3, window_bits = ?4, \
                 window_refused = ?5, stream = ?6, used_us = max(used_us, ?7) WHERE id = ?1",
        )?
        .execute(params![
            mailbox,
            generation.cast_signed(),
            window.highest().cast_signed(),
            window.bits().cast_signed(),
            window.refused().cast_signed(),
            stream.cast_signed(),
            self.now(),
        ])
        .map_err(failure)?;
        Ok(StoreOutcome::Attended {
            fresh,
            window,
            stream,
            refused,
        })
    }

    /// What a mailbox knows of its owner's commands.
    fn attended(&self, mailbox: i64) -> Result<Option<Attended>, StoreError> {
        self.prepare(
            "SELECT generation, window_highest, window_bits, window_refused, stream \
                 FROM mailboxes WHERE id = ?1 AND generation IS NOT NULL",
        )?
        .query_row([mailbox], |row| {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            Ok(Attended {
                generation: number(0)?,
                window: Window::from_parts(number(1)?, number(2)?, number(3)?),
                stream: number(4)?,
            })
        })
        .optional()
        .map_err(failure)
    }

    /// Whether the change is done, or was.
    fn change(&self, key: &MailboxId, mailbox: i64, change: &Change) -> Result<bool, StoreError> {
        let (drop, revoked) = match change {
            Change::Register(drop) => (drop, None),
            Change::Revoke(drop) => (drop, Some(self.now())),
        };
        match self.drop_row(mailbox, drop)? {
            None if !self.may_register(self.mailbox(key)?.as_ref()) => Ok(false),
            None => self.register(mailbox, drop, revoked).map(|_| true),
            Some(row) if revoked.is_none() || row.revoked => Ok(row.revoked == revoked.is_some()),
            Some(row) => {
                self.prepare("UPDATE drops SET revoked_us = ?2 WHERE id = ?1")?
                    .execute(params![row.id, revoked])
                    .map_err(failure)?;
                Ok(true)
            }
        }
    }

    /// Gives up revoked drop ids that are old enough, and mailboxes that nobody uses: so many
    /// of each.
    pub(super) fn give_up(&mut self) -> Result<(u64, u64), StoreError> {
        let revoked_before = self.ago(self.limits().revoked_memory.as_micros());
        let old: Vec<(i64, i64)> = self
            .prepare(
                "SELECT drops.id, drops.mailbox FROM drops \
                 JOIN mailboxes ON mailboxes.id = drops.mailbox \
                 WHERE drops.revoked_us <= ?1 AND drops.waiting = 0 AND drops.remembered = 0 \
                 ORDER BY mailboxes.key, drops.key LIMIT ?2",
            )?
            .query_map(params![revoked_before, self.limits().expire_batch], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .and_then(Iterator::collect)
            .map_err(failure)?;
        for (drop, mailbox) in &old {
            self.run("DELETE FROM drops WHERE id = ?1", *drop)?;
            self.run(
                "UPDATE mailboxes SET drops = drops - 1 WHERE id = ?1",
                *mailbox,
            )?;
        }
        let used_before = self.ago(self.limits().mailbox_idle.as_micros());
        let idle: Vec<i64> = self
            .prepare(
                "SELECT id FROM mailboxes WHERE used_us <= ?1 AND waiting = 0 \
                 AND remembered = 0 ORDER BY key LIMIT ?2",
            )?
            .query_map(params![used_before, crate::limits::IDLE_BATCH], |row| {
                row.get(0)
            })
            .and_then(Iterator::collect)
            .map_err(failure)?;
        for mailbox in &idle {
            self.run("DELETE FROM drops WHERE mailbox = ?1", *mailbox)?;
            self.run("DELETE FROM mailboxes WHERE id = ?1", *mailbox)?;
            self.usage_mut().mailboxes = self.usage().mailboxes.saturating_sub(1);
        }
        Ok((old.len() as u64, idle.len() as u64))
    }
}
