//! The store in memory: mailboxes, drop ids and what is decided about them.

mod drops;
mod entries;
mod tally;

use std::collections::BTreeMap;

use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use self::drops::Drops;
use self::entries::{DropKey, Entries};
use self::tally::Tally;
use crate::StoreLimits;
use crate::limits::IDLE_BATCH;
use crate::store::{
    Change, EntryId, Freed, Owner, Store, StoreOp, StoreOutcome, StoreResult, Usage,
};
use crate::window::Attended;

/// A store in memory: for virtual time and tests. What it holds is gone with it.
#[derive(Debug)]
pub struct MemoryStore {
    limits: StoreLimits,
    mailboxes: BTreeMap<MailboxId, MailboxRow>,
    drops: Drops,
    entries: Entries,
    freed: Freed,
}

#[derive(Debug)]
struct MailboxRow {
    attended: Option<Attended>,
    used: Time,
    next_entry: EntryId,
    tally: Tally,
    drops: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub const fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            mailboxes: BTreeMap::new(),
            drops: Drops::new(),
            entries: Entries::new(),
            freed: Freed::from_parts(0, 0),
        }
    }

    fn perform(&mut self, now: Time, op: StoreOp) -> StoreOutcome {
        match op {
            StoreOp::Put {
                drop,
                message,
                owner,
                blob,
                expires,
            } => self.put(now, drop, message, owner, blob, expires),
            StoreOp::Attend {
                mailbox,
                generation,
                counter,
                stream,
                acks,
                changes,
            } => {
                if !self.mailboxes.contains_key(&mailbox) {
                    if !self.may_create() {
                        return StoreOutcome::Refused;
                    }
                    self.create(now, mailbox);
                }
                let row = self.mailboxes.get(&mailbox);
                let known = row.and_then(|row| row.attended);
                match Attended::next(known, generation, counter, stream) {
                    Ok(counts) => self.attend(now, mailbox, counter, counts, acks, changes),
                    Err(generation) => StoreOutcome::Replayed { generation },
                }
            }
            StoreOp::Waiting { mailbox } => {
                StoreOutcome::Waiting(self.entries.newest(now, mailbox))
            }
            StoreOp::List {
                mailbox,
                drop,
                after,
                limit,
            } => StoreOutcome::Entries(self.entries.list(
                now,
                DropKey { mailbox, drop },
                after,
                limit,
            )),
            StoreOp::Expire => self.expire(now),
            StoreOp::Check => StoreOutcome::Writable,
        }
    }

    fn put(
        &mut self,
        now: Time,
        drop: DropId,
        message: MessageId,
        owner: Owner,
        blob: Box<Blob>,
        expires: Time,
    ) -> StoreOutcome {
        let Some(under) = self.place(drop, owner) else {
            return StoreOutcome::Refused;
        };
        let mailbox = under.mailbox;
        if let Some((row, until, entry)) = self.entries.find(under, message) {
            if until > now {
                return StoreOutcome::Stored { mailbox, entry };
            }
            self.remove(row);
        }
        if expires <= now || !self.has_room(now, under) {
            return StoreOutcome::Refused;
        }
        self.create(now, mailbox);
        if self.drops.get(under).is_none() {
            self.register(under, None);
        }
        let entry = self.number(now, under);
        if let Some(entry) = entry {
            self.entries.insert(under, entry, message, expires, blob);
        }
        StoreOutcome::Stored { mailbox, entry }
    }

    /// Where a deposit goes; none if nobody takes it.
    fn place(&self, drop: DropId, owner: Owner) -> Option<DropKey> {
        let mailbox = match owner {
            Owner::First => self.drops.first(drop)?,
            Owner::Named(mailbox) | Owner::Granted(mailbox) => mailbox,
        };
        let under = DropKey { mailbox, drop };
        let takes = match self.drops.get(under) {
            Some(row) => row.revoked.is_none(),
            None => matches!(owner, Owner::Granted(_)) && self.may_register(mailbox),
        };
        takes.then_some(under)
    }

    fn may_register(&self, mailbox: MailboxId) -> bool {
        match self.mailboxes.get(&mailbox) {
            Some(row) => row.drops < self.limits.drops_per_mailbox,
            None => self.may_create() && self.limits.drops_per_mailbox > 0,
        }
    }

    fn may_create(&self) -> bool {
        (self.mailboxes.len() as u64) < self.limits.mailboxes
    }

    fn has_room(&self, now: Time, under: DropKey) -> bool {
        let (limits, step) = (&self.limits, self.limits.step(now));
        let drop = self.drops.get(under).map(|row| &row.tally);
        let mailbox = self.mailboxes.get(&under.mailbox).map(|row| &row.tally);
        let taken = |tally: Option<&Tally>| tally.map_or(0, |tally| tally.occupied(step));
        taken(drop) < limits.entries_per_drop
            && taken(mailbox) < limits.entries_per_mailbox
            && self.usage().has_room(self.freed.held(step), limits.bytes)
    }

    fn create(&mut self, now: Time, mailbox: MailboxId) {
        self.mailboxes.entry(mailbox).or_insert(MailboxRow {
            attended: None,
            used: now,
            next_entry: EntryId::new(1),
            tally: Tally::default(),
            drops: 0,
        });
    }

    fn register(&mut self, under: DropKey, revoked: Option<Time>) {
        if let Some(row) = self.mailboxes.get_mut(&under.mailbox) {
            row.drops += 1;
        }
        self.drops.insert(under, revoked);
    }

    /// The number of one more entry in a mailbox, under a drop id.
    fn number(&mut self, now: Time, under: DropKey) -> Option<EntryId> {
        let owner = self.mailboxes.get_mut(&under.mailbox)?;
        let row = self.drops.get_mut(under)?;
        let entry = owner.next_entry;
        owner.next_entry = EntryId::new(entry.number().saturating_add(1));
        owner.tally.added();
        owner.used = owner.used.max(now);
        row.tally.added();
        Some(entry)
    }

    /// Does a command that counts.
    fn attend(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        counter: u64,
        (fresh, mut attended): (bool, Attended),
        acks: Vec<EntryId>,
        changes: Vec<Change>,
    ) -> StoreOutcome {
        for entry in acks {
            self.ack(now, mailbox, entry);
        }
        let undone = |change| !self.change(now, mailbox, change);
        let refused = changes.into_iter().map(undone).map(u32::from).sum();
        if refused > 0 {
            attended.window = attended.window.refuse(counter);
        }
        if let Some(row) = self.mailboxes.get_mut(&mailbox) {
            row.used = row.used.max(now);
            row.attended = Some(attended);
        }
        StoreOutcome::Attended {
            fresh,
            window: attended.window,
            stream: attended.stream,
            refused,
        }
    }

    fn ack(&mut self, now: Time, mailbox: MailboxId, entry: EntryId) {
        let Some(under) = self.entries.acknowledge(mailbox, entry) else {
            return;
        };
        let step = self.limits.step(now);
        self.freed.add(step);
        if let Some(owner) = self.mailboxes.get_mut(&mailbox) {
            owner.tally.acknowledged(step);
        }
        let Some(row) = self.drops.get_mut(under) else {
            return;
        };
        row.tally.acknowledged(step);
        if row.tally.remembered() > self.limits.remembered_per_drop
            && let Some(oldest) = self.entries.oldest_remembered(under)
        {
            self.remove(oldest);
        }
    }

    /// Whether the change is done, or was.
    fn change(&mut self, now: Time, mailbox: MailboxId, change: Change) -> bool {
        let (drop, revoked) = match change {
            Change::Register(drop) => (drop, None),
            Change::Revoke(drop) => (drop, Some(now)),
        };
        let under = DropKey { mailbox, drop };
        let room = self.may_register(mailbox);
        match self.drops.get_mut(under) {
            None if !room => false,
            None => {
                self.register(under, revoked);
                true
            }
            Some(row) => {
                if revoked.is_none() {
                    return row.revoked.is_none();
                }
                row.revoked = row.revoked.or(revoked);
                true
            }
        }
    }

    fn expire(&mut self, now: Time) -> StoreOutcome {
        let batch = usize::try_from(self.limits.expire_batch).unwrap_or(usize::MAX);
        let rows = self.entries.expired(now, batch);
        for row in &rows {
            self.remove(*row);
        }
        let drops = self.give_up_revoked(now, batch);
        let idle = self.give_up_idle(now, IDLE_BATCH as usize);
        StoreOutcome::Expired {
            removed: (rows.len() + drops + idle) as u64,
            more: rows.len() == batch || drops == batch || idle == IDLE_BATCH as usize,
        }
    }

    fn give_up_revoked(&mut self, now: Time, most: usize) -> usize {
        let memory = self.limits.revoked_memory;
        let old = self.drops.given_up(|at| at + memory <= now, most);
        for under in &old {
            self.drops.remove(*under);
            if let Some(owner) = self.mailboxes.get_mut(&under.mailbox) {
                owner.drops = owner.drops.saturating_sub(1);
            }
        }
        old.len()
    }

    fn give_up_idle(&mut self, now: Time, most: usize) -> usize {
        let is_old = |row: &MailboxRow| row.used + self.limits.mailbox_idle <= now;
        let idle: Vec<MailboxId> = self
            .mailboxes
            .iter()
            .filter(|(_, row)| row.tally.is_empty() && is_old(row))
            .map(|(mailbox, _)| *mailbox)
            .take(most)
            .collect();
        for mailbox in &idle {
            self.mailboxes.remove(mailbox);
            self.drops.remove_all(*mailbox);
        }
        idle.len()
    }

    /// Removes an entry of which only the name is left, or that expired.
    fn remove(&mut self, row: u64) {
        let Some((under, waited)) = self.entries.remove(row) else {
            return;
        };
        if let Some(owner) = self.mailboxes.get_mut(&under.mailbox) {
            owner.tally.removed(waited);
        }
        if let Some(row) = self.drops.get_mut(under) {
            row.tally.removed(waited);
        }
    }
}

impl Store for MemoryStore {
    fn apply(&mut self, now: Time, ops: Vec<StoreOp>) -> Vec<StoreResult> {
        ops.into_iter()
            .map(|op| Ok(self.perform(now, op)))
            .collect()
    }

    fn usage(&self) -> Usage {
        Usage {
            mailboxes: self.mailboxes.len() as u64,
            entries: self.entries.waiting(),
            remembered: self.entries.remembered(),
        }
    }
}
