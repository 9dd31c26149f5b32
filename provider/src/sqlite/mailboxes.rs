//! Mailboxes: attending, and giving up.

use rusqlite::{OptionalExtension, params};
use shoal_packet::command::DropChange;
use shoal_proto::{MailboxId, Time};

use super::database::{CELLS, failure};
use super::work::Work;
use crate::limits::{IDLE_BATCH, TRIAL};
use crate::store::{Claim, EntryId, Opening, SpentToken, StoreOutcome};
use crate::times::{HOUR, micros};
use crate::window::Attended;
use crate::{StoreError, Window};

/// What an owner's command says about itself.
pub(super) struct Attendance {
    pub(super) generation: u64,
    pub(super) counter: u64,
    pub(super) stream: u64,
    pub(super) opening: Opening,
}

/// What only the row of a mailbox tells.
struct Known {
    attended: Option<Attended>,
    created: Time,
    used: i64,
}

/// The number of a mailbox that was opened, or why it was not.
type Opened = Result<i64, StoreOutcome>;

/// The oldest first. With its plus, the order is none that the table has: or SQLite would look through all of it in place of
/// the index.
const IDLE: &str = "SELECT id FROM cells WHERE used_us <= ?1 AND waiting = 0 AND remembered = 0 \
    ORDER BY +id LIMIT ?2";
/// As the index has it: the hours stand there too.
const UNUSED: &str = "SELECT id FROM cells WHERE used_us <= ?1 AND next_entry = 1 \
    AND used_us < created_us + 7200000000 ORDER BY +id LIMIT ?2";
/// No deposit uses it any more, so its owner has used it last.
const CLOSED: &str = "SELECT id FROM cells WHERE used_us <= ?1 AND closed = 1 AND waiting = 0 \
    ORDER BY +id LIMIT ?2";
const CLOSED_AND_EMPTY: &str = "SELECT id FROM cells WHERE used_us <= ?1 AND closed = 1 AND waiting = 0 \
    AND remembered = 0 ORDER BY +id LIMIT ?2";
const _: () = assert!(TRIAL.as_micros() + HOUR.as_micros() == 7_200_000_000);

impl Work<'_> {
    pub(super) fn mailbox(&self, key: &MailboxId) -> Result<Option<i64>, StoreError> {
        self.prepare("SELECT mailbox FROM owners WHERE key = ?1")?
            .query_row([self.key().mailbox(key)], |row| row.get(0))
            .optional()
            .map_err(failure)
    }

    /// Opens a mailbox that is not known, if it may be.
    fn open(&mut self, key: &MailboxId, opening: Opening) -> Result<Opened, StoreError> {
        match opening {
            Opening::Closed => return Ok(Err(StoreOutcome::Refused)),
            Opening::Token(token) if self.is_spent(&token.name)? => {
                return Ok(Err(StoreOutcome::Spent));
            }
            Opening::Free | Opening::Token(_) => {}
        }
        if self.usage().mailboxes >= self.limits().mailboxes {
            return Ok(Err(StoreOutcome::Refused));
        }
        if let Opening::Token(token) = opening {
            self.spend(&token)?;
        }
        self.create(key).map(Ok)
    }

    /// Gives one of what there is.
    pub(super) fn claim(&self, claim: &Claim) -> Result<StoreOutcome, StoreError> {
        if self.is_spent(&claim.request)? {
            return Ok(StoreOutcome::Claimed { again: true });
        }
        for right in &claim.rights {
            if !self.is_spent(right)? {
                for row in claim.rows(right) {
                    self.spend(&row)?;
                }
                return Ok(StoreOutcome::Claimed { again: false });
            }
        }
        Ok(StoreOutcome::Spent)
    }

    fn is_spent(&self, name: &[u8; 32]) -> Result<bool, StoreError> {
        self.prepare("SELECT 1 FROM spent WHERE name = ?1")?
            .exists([name])
            .map_err(failure)
    }

    fn spend(&self, token: &SpentToken) -> Result<(), StoreError> {
        self.prepare("INSERT INTO spent (name, expires_us) VALUES (?1, ?2)")?
            .execute(params![token.name, micros(token.expires)])
            .map_err(failure)?;
        Ok(())
    }

    fn create(&mut self, key: &MailboxId) -> Result<i64, StoreError> {
        let own = self.fresh(key);
        let (name, sealed) = (self.key().mailbox(key), self.key().seal(&own));
        let last: i64 = self
            .prepare("SELECT coalesce(max(id), 0) FROM cells")?
            .query_row([], |row| row.get(0))
            .map_err(failure)?;
        let mailbox = (last / CELLS + 1).saturating_mul(CELLS);
        self.prepare("INSERT INTO owners (key, mailbox) VALUES (?1, ?2)")?
            .execute(params![name, mailbox])
            .map_err(failure)?;
        self.prepare(
            "INSERT INTO cells (id, sealed, created_us, used_us, window_highest, window_bits, window_refused, stream, \
             next_entry, sets, closed, waiting, remembered, freed, freed_step) \
             VALUES (?1, ?2, ?3, ?3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)",
        )?
        .execute(params![mailbox, sealed, self.hour()])
        .map_err(failure)?;
        self.usage_mut().mailboxes += 1;
        Ok(mailbox)
    }

    pub(super) fn attend(
        &mut self,
        key: &MailboxId,
        attendance: &Attendance,
        acks: &[EntryId],
        changes: &[DropChange],
    ) -> Result<StoreOutcome, StoreError> {
        let known = self.mailbox(key)?;
        let mailbox = match known {
            Some(id) => id,
            None => match self.open(key, attendance.opening)? {
                Ok(id) => id,
                Err(refused) => return Ok(refused),
            },
        };
        let Known {
            attended,
            created,
            used,
        } = self.known(mailbox)?;
        let next = Attended::next(
            attended,
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
            refused += u32::from(!self.change(mailbox, change)?);
        }
        if refused > 0 {
            attended.window = attended.window.refuse(attendance.counter);
        }
        let Attended {
            generation,
            window,
            stream,
        } = attended;
        let waiting: i64 = self
            .prepare(
                "UPDATE cells SET generation = ?2, window_highest = ?3, window_bits = ?4, \
                 window_refused = ?5, stream = ?6 WHERE id = ?1 RETURNING waiting",
            )?
            .query_row(
                params![
                    mailbox,
                    generation.cast_signed(),
                    window.highest().cast_signed(),
                    window.bits().cast_signed(),
                    window.refused().cast_signed(),
                    stream.cast_signed(),
                ],
                |row| row.get(0),
            )
            .map_err(failure)?;
        // In a statement of its own, or each command would write the indexes by it anew.
        if used < self.hour() {
            self.prepare("UPDATE cells SET used_us = ?2 WHERE id = ?1")?
                .execute([mailbox, self.hour()])
                .map_err(failure)?;
        }
        Ok(StoreOutcome::Attended {
            fresh,
            window,
            stream,
            refused,
            opened: known.is_none(),
            created,
            waiting: waiting.cast_unsigned(),
        })
    }

    /// What a mailbox knows of its owner's commands, and when it was opened.
    fn known(&self, mailbox: i64) -> Result<Known, StoreError> {
        self.prepare(
            "SELECT generation, window_highest, window_bits, window_refused, stream, created_us, used_us \
                 FROM cells WHERE id = ?1",
        )?
        .query_row([mailbox], |row| {
            let number = |column| row.get(column).map(i64::cast_unsigned);
            let window = Window::from_parts(number(1)?, number(2)?, number(3)?);
            let stream = number(4)?;
            let generation: Option<i64> = row.get(0)?;
            Ok(Known {
                attended: generation.map(|generation| Attended {
                    generation: generation.cast_unsigned(),
                    window,
                    stream,
                }),
                created: Time::from_micros(number(5)?),
                used: row.get(6)?,
            })
        })
        .map_err(failure)
    }

    /// Forgets tokens that would not count any more: so many.
    pub(super) fn forget_spent(&mut self) -> Result<u64, StoreError> {
        let forgotten = self
            .prepare(
                "DELETE FROM spent WHERE name IN (SELECT name FROM spent WHERE expires_us <= ?1 \
                 ORDER BY expires_us, name LIMIT ?2)",
            )?
            .execute(params![self.now(), self.limits().expire_batch])
            .map_err(failure)?;
        Ok(forgotten as u64)
    }

    /// Gives up mailboxes that their owners have closed, then those that nobody uses, then those that nobody has ever
    /// used. Says how many names of acknowledged entries went before them, and how many mailboxes.
    pub(super) fn give_up(&mut self) -> Result<(u64, u64), StoreError> {
        let before = self.unused_for(self.limits().mailbox_closed);
        let over = self.some(CLOSED, before, IDLE_BATCH.into())?;
        let batch = u64::from(self.limits().expire_batch);
        let mut names = 0;
        for mailbox in over {
            names += self.forget_all(mailbox, batch - names)?;
        }
        let closed = self.give_up_by(CLOSED_AND_EMPTY, before, IDLE_BATCH.into())?;
        let idle = self.limits().mailbox_idle;
        let trial = self.limits().mailbox_trial;
        let given_up =
            self.give_up_by(IDLE, self.unused_for(idle), u64::from(IDLE_BATCH) - closed)?;
        let unused = self.give_up_by(
            UNUSED,
            self.unused_for(trial),
            u64::from(IDLE_BATCH) - closed - given_up,
        )?;
        Ok((names, closed + given_up + unused))
    }

    /// Those that a statement finds of before a time, at most so many.
    fn give_up_by(&mut self, sql: &str, before: i64, most: u64) -> Result<u64, StoreError> {
        let idle = self.some(sql, before, most)?;
        for mailbox in &idle {
            self.remove_mailbox(*mailbox)?;
            self.usage_mut().mailboxes = self.usage().mailboxes.saturating_sub(1);
        }
        Ok(idle.len() as u64)
    }

    fn some(&self, sql: &str, before: i64, most: u64) -> Result<Vec<i64>, StoreError> {
        self.prepare(sql)?
            .query_map(params![before, most.cast_signed()], |row| row.get(0))
            .and_then(Iterator::collect)
            .map_err(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There may be a million, and it is asked for once a minute.
    #[test]
    fn what_is_given_up_is_found_by_an_index() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection
            .execute_batch(super::super::database::SCHEMA)
            .unwrap();
        for sql in [IDLE, UNUSED, CLOSED, CLOSED_AND_EMPTY] {
            let mut plan = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let steps = plan.query_map([1, 1], |row| row.get::<_, String>(3));
            let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
            assert!(
                steps[0].starts_with("SEARCH") && steps[0].contains("INDEX mailboxes_"),
                "{sql}: {steps:?}"
            );
        }
    }
}
