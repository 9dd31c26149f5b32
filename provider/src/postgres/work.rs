//! What a run of deposits and commands does to the rows, decided in memory.

use shoal_packet::command::{Blob, DropChange, DropSet};
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use super::sheet::{DropRow, EntryRow, MailboxRow, Place, SetRow, Sheet, Under};
use crate::memory::tally::Tally;
use crate::store::{Claim, EntryId, Freed, Opening, StoreOp, StoreOutcome, Usage};
use crate::times::{self, micros};
use crate::window::Attended;
use crate::{StoreError, StoreKey, StoreLimits};

/// How much the database holds.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) usage: Usage,
    pub(super) freed: Freed,
    /// The highest id of a row in any table.
    pub(super) last_id: i64,
}

/// The rows, the quotas, what is held, the time in microseconds, and the step in which what is
/// acknowledged takes up its room.
pub(super) struct Work<'a, 'h> {
    pub(super) sheet: Sheet<'a>,
    limits: &'h StoreLimits,
    pub(super) key: &'h mut StoreKey,
    held: &'h mut Held,
    now: i64,
    /// The beginning of this hour.
    hour: i64,
    step: u64,
}

impl<'a, 'h> Work<'a, 'h> {
    pub(super) fn new(
        sheet: Sheet<'a>,
        limits: &'h StoreLimits,
        key: &'h mut StoreKey,
        held: &'h mut Held,
        now: Time,
    ) -> Self {
        let step = held.freed.goes_on(limits.step(now));
        Self {
            sheet,
            limits,
            key,
            held,
            now: micros(now),
            hour: micros(times::hour(now)),
            step,
        }
    }

    /// Does what is written.
    pub(super) fn perform(&mut self, op: &'a StoreOp) -> Result<StoreOutcome, StoreError> {
        match op {
            StoreOp::Put {
                drop,
                message,
                blob,
                expires,
            } => self.put(drop, message, blob, micros(*expires)),
            StoreOp::Attend {
                mailbox,
                generation,
                counter,
                stream,
                acks,
                changes,
                opening,
            } => {
                let (id, opened) = match self.sheet.mailbox(mailbox) {
                    Some(id) => (id, false),
                    None => match self.open(mailbox, *opening) {
                        Ok(id) => (id, true),
                        Err(refused) => return Ok(refused),
                    },
                };
                let known = self.sheet.mailbox_row(id)?.attended;
                match Attended::next(known, *generation, *counter, *stream) {
                    Ok(counts) => self.attend((id, opened), *counter, counts, acks, changes),
                    Err(generation) => Ok(StoreOutcome::Replayed { generation }),
                }
            }
            StoreOp::Claim(claim) => Ok(self.claim(claim)),
            _ => Err(StoreError::Bug("nothing that is written".to_owned())),
        }
    }

    fn next_id(&mut self) -> i64 {
        self.held.last_id += 1;
        self.held.last_id
    }

    fn put(
        &mut self,
        drop: &DropId,
        message: &MessageId,
        blob: &'a Blob,
        expires: i64,
    ) -> Result<StoreOutcome, StoreError> {
        let under = self.sheet.under(self.key, drop)?;
        let under = match under {
            Some(under) if !self.refuses(under)? => Some(under),
            _ => None,
        };
        if let Some(Under {
            drop: Some(id),
            key,
            ..
        }) = under
            && let Some((found, row)) = self.sheet.named(id, message)
        {
            if row.expires > self.now {
                let waits = row.is == Place::Waiting;
                return Ok(StoreOutcome::Stored {
                    mailbox: key,
                    entry: waits.then(|| EntryId::new(row.entry.cast_unsigned())),
                });
            }
            self.remove(found)?;
        }
        // Whomever it is for: or it would tell which drop ids are good.
        let freed = self.held.freed.held(self.step);
        if !self.held.usage.has_room(freed, self.limits.bytes) {
            return Ok(StoreOutcome::Full);
        }
        let Some(under) = under.filter(|_| expires > self.now) else {
            return Ok(StoreOutcome::Refused);
        };
        if !self.has_room(under)? {
            return Ok(StoreOutcome::Refused);
        }
        let entry = self.insert(under, message, blob, expires)?;
        Ok(StoreOutcome::Stored {
            mailbox: under.key,
            entry: Some(entry),
        })
    }

    /// Whether it is revoked, or its mailbox is closed.
    fn refuses(&self, under: Under) -> Result<bool, StoreError> {
        let row = under.drop.and_then(|drop| self.sheet.drops.get(&drop));
        Ok(row.is_some_and(|row| row.revoked) || self.sheet.mailbox_row(under.mailbox)?.closed)
    }

    fn has_room(&self, under: Under) -> Result<bool, StoreError> {
        let row = under.drop.and_then(|drop| self.sheet.drops.get(&drop));
        let in_drop = row.map_or(0, |row| row.tally.occupied(self.step));
        let mailbox = self.sheet.mailbox_row(under.mailbox)?;
        Ok(in_drop < self.limits.entries_per_drop
            && mailbox.tally.occupied(self.step) < self.limits.entries_per_mailbox)
    }

    fn insert(
        &mut self,
        under: Under,
        message: &MessageId,
        blob: &'a Blob,
        expires: i64,
    ) -> Result<EntryId, StoreError> {
        let drop = self.use_drop(under);
        let id = self.next_id();
        let hour = self.hour;
        let owner = self.sheet.mailbox_mut(under.mailbox)?;
        let entry = owner.next_entry;
        owner.next_entry += 1;
        owner.tally.added();
        owner.used = owner.used.max(hour);
        self.sheet.drop_mut(drop)?.tally.added();
        self.held.usage.entries += 1;
        let row = EntryRow {
            mailbox: under.mailbox,
            entry,
            drop,
            message: *message,
            expires,
            was: Place::Nowhere,
            is: Place::Waiting,
            blob: Some(blob),
        };
        self.sheet.add_entry(id, row);
        Ok(EntryId::new(entry.cast_unsigned()))
    }

    /// The row of a drop id, made if there is none.
    fn use_drop(&mut self, under: Under) -> i64 {
        if let Some(id) = under.drop {
            return id;
        }
        let id = self.next_id();
        let row = DropRow {
            set: under.set,
            number: under.number,
            mailbox: under.mailbox,
            revoked: false,
            tally: Tally::default(),
        };
        self.sheet.add_drop(id, row);
        id
    }

    /// Gives one of what there is.
    fn claim(&mut self, claim: &Claim) -> StoreOutcome {
        if self.sheet.spent.contains(&claim.request) {
            return StoreOutcome::Claimed { again: true };
        }
        let is_left = |right: &&[u8; 32]| !self.sheet.spent.contains(*right);
        let Some(right) = claim.rights.iter().find(is_left) else {
            return StoreOutcome::Spent;
        };
        for row in claim.rows(right) {
            self.sheet.spend(row);
        }
        StoreOutcome::Claimed { again: false }
    }

    /// Opens a mailbox that is not known, if it may be.
    fn open(&mut self, key: &MailboxId, opening: Opening) -> Result<i64, StoreOutcome> {
        match opening {
            Opening::Closed => return Err(StoreOutcome::Refused),
            Opening::Token(token) if self.sheet.spent.contains(&token.name) => {
                return Err(StoreOutcome::Spent);
            }
            Opening::Free | Opening::Token(_) => {}
        }
        if self.held.usage.mailboxes >= self.limits.mailboxes {
            return Err(StoreOutcome::Refused);
        }
        if let Opening::Token(token) = opening {
            self.sheet.spend(token);
        }
        Ok(self.create(key))
    }

    fn create(&mut self, key: &MailboxId) -> i64 {
        let id = self.next_id();
        let row = MailboxRow {
            own: self.key.fresh(key),
            attended: None,
            closed: false,
            created: self.hour,
            used: self.hour,
            next_entry: 1,
            tally: Tally::default(),
            sets: 0,
        };
        self.sheet.add_mailbox(id, row);
        self.sheet.changed_mailboxes.insert(id);
        self.held.usage.mailboxes += 1;
        id
    }

    /// Does a command that counts.
    fn attend(
        &mut self,
        (mailbox, opened): (i64, bool),
        counter: u64,
        (fresh, mut attended): (bool, Attended),
        acks: &[EntryId],
        changes: &[DropChange],
    ) -> Result<StoreOutcome, StoreError> {
        for entry in acks {
            self.ack(mailbox, *entry)?;
        }
        let mut refused = 0;
        for change in changes {
            refused += u32::from(!self.change(mailbox, change)?);
        }
        if refused > 0 {
            attended.window = attended.window.refuse(counter);
        }
        let hour = self.hour;
        let row = self.sheet.mailbox_mut(mailbox)?;
        row.used = row.used.max(hour);
        row.attended = Some(attended);
        Ok(StoreOutcome::Attended {
            fresh,
            window: attended.window,
            stream: attended.stream,
            refused,
            opened,
            created: Time::from_micros(row.created.max(0).cast_unsigned()),
            waiting: row.tally.waiting(),
        })
    }

    fn ack(&mut self, mailbox: i64, entry: EntryId) -> Result<(), StoreError> {
        let Some(id) = i64::try_from(entry.number())
            .ok()
            .and_then(|number| self.sheet.numbered(mailbox, number))
        else {
            return Ok(());
        };
        let (_, _, drop) = self.sheet.place(id, Place::Remembered)?;
        let step = self.step;
        self.sheet.mailbox_mut(mailbox)?.tally.acknowledged(step);
        let tally = &mut self.sheet.drop_mut(drop)?.tally;
        tally.acknowledged(step);
        let too_many = tally.remembered() > self.limits.remembered_per_drop;
        self.held.freed.add(step);
        self.held.usage.entries = self.held.usage.entries.saturating_sub(1);
        self.held.usage.remembered += 1;
        match self.sheet.oldest_remembered(drop).filter(|_| too_many) {
            Some(oldest) => self.remove(oldest),
            None => Ok(()),
        }
    }

    /// Removes an entry of which only the name is left, or that expired.
    fn remove(&mut self, id: i64) -> Result<(), StoreError> {
        let (place, mailbox, drop) = self.sheet.place(id, Place::Nowhere)?;
        let waited = place == Place::Waiting;
        let usage = &mut self.held.usage;
        let total = if waited {
            &mut usage.entries
        } else {
            &mut usage.remembered
        };
        *total = total.saturating_sub(1);
        self.sheet.mailbox_mut(mailbox)?.tally.removed(waited);
        self.sheet.drop_mut(drop)?.tally.removed(waited);
        Ok(())
    }

    /// Whether the change is done, or was.
    fn change(&mut self, mailbox: i64, change: &DropChange) -> Result<bool, StoreError> {
        match change {
            DropChange::Register(set) => self.register(mailbox, set),
            DropChange::Revoke(drop) => {
                let under = self.sheet.under(self.key, drop)?;
                let Some(under) = under.filter(|under| under.mailbox == mailbox) else {
                    return Ok(false);
                };
                let id = self.use_drop(under);
                self.sheet.drop_mut(id)?.revoked = true;
                Ok(true)
            }
            DropChange::Close => {
                self.sheet.mailbox_mut(mailbox)?.closed = true;
                Ok(true)
            }
        }
    }

    fn register(&mut self, mailbox: i64, set: &DropSet) -> Result<bool, StoreError> {
        if self.sheet.mailbox_row(mailbox)?.closed {
            return Ok(false);
        }
        if let Some(known) = self.sheet.set_of(mailbox, set.secret()) {
            return Ok(known.size() == set.size());
        }
        let row = self.sheet.mailbox_row(mailbox)?;
        if row.sets.cast_unsigned() >= self.limits.sets_per_mailbox {
            return Ok(false);
        }
        let ids = set.ids(row.own.owner());
        let mut tags: Vec<(i64, u16)> = ids.map(|(n, drop)| (self.key.tag(&drop), n)).collect();
        tags.sort_unstable();
        // Another id has the same eight bytes: whose owner looks for such secrets, or has no luck
        // once in a thousand million years, takes another secret.
        let twice = tags.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let taken =
            |tag: &i64| self.sheet.taken.contains(tag) || self.sheet.names.contains_key(tag);
        if twice || tags.iter().any(|(tag, _)| taken(tag)) {
            return Ok(false);
        }
        let id = self.next_id();
        let names = tags.into_iter().map(|(tag, number)| (tag, (id, number)));
        self.sheet.names.extend(names);
        let set = set.clone();
        self.sheet.sets.insert(id, SetRow { mailbox, set });
        self.sheet.new_sets.push(id);
        self.sheet.mailbox_mut(mailbox)?.sets += 1;
        Ok(true)
    }
}
