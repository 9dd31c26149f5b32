//! Mailboxes: attending, and giving up.

use rusqlite::{OptionalExtension, params};
use shoal_packet::command::DropChange;
use shoal_proto::MailboxId;

use super::database::failure;
use super::work::Work;
use crate::store::{EntryId, StoreOutcome};
use crate::window::Attended;
use crate::{StoreError, Window};

/// What an owner's command says about itself.
pub(super) struct Attendance {
    pub(super) generation: u64,
    pub(super) counter: u64,
    pub(super) stream: u64,
}

impl Work<'_> {
    pub(super) fn mailbox(&self, key: &MailboxId) -> Result<Option<i64>, StoreError> {
        self.prepare("SELECT id FROM mailboxes WHERE key = ?1")?
            .query_row([key.as_bytes()], |row| row.get(0))
            .optional()
            .map_err(failure)
    }

    fn create(&mut self, key: &MailboxId) -> Result<i64, StoreError> {
        self.prepare("INSERT INTO mailboxes (key, used_us) VALUES (?1, ?2)")?
            .execute(params![key.as_bytes(), self.now()])
            .map_err(failure)?;
        self.usage_mut().mailboxes += 1;
        Ok(self.last_id())
    }

    pub(super) fn attend(
        &mut self,
        key: &MailboxId,
        attendance: &Attendance,
        acks: &[EntryId],
        changes: &[DropChange],
    ) -> Result<StoreOutcome, StoreError> {
        let mailbox = match self.mailbox(key)? {
            Some(id) => id,
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

    /// Gives up mailboxes that nobody uses: so many.
    pub(super) fn give_up(&mut self) -> Result<u64, StoreError> {
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
            self.remove_drops(*mailbox)?;
            self.run("DELETE FROM mailboxes WHERE id = ?1", *mailbox)?;
            self.usage_mut().mailboxes = self.usage().mailboxes.saturating_sub(1);
        }
        Ok(idle.len() as u64)
    }
}
