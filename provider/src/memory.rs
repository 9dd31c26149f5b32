//! The store in memory: mailboxes, drop ids and what is decided about them.

mod entries;

use std::collections::BTreeMap;

use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use self::entries::Entries;
use crate::limits::{ENTRY_BYTES, IDLE_BATCH};
use crate::store::{Change, EntryId, Store, StoreOp, StoreOutcome, StoreResult, Usage};
use crate::{StoreLimits, Window};

/// A store in memory: for virtual time and tests. What it holds is gone with it.
#[derive(Debug)]
pub struct MemoryStore {
    limits: StoreLimits,
    mailboxes: BTreeMap<MailboxId, MailboxRow>,
    drops: BTreeMap<DropId, DropRow>,
    entries: Entries,
}

#[derive(Debug)]
struct MailboxRow {
    attended: Option<Attended>,
    used: Time,
    next_entry: EntryId,
    tally: Tally,
    drops: u64,
}

#[derive(Debug)]
struct Attended {
    generation: u64,
    window: Window,
    stream: u64,
}

#[derive(Debug)]
struct DropRow {
    mailbox: MailboxId,
    revoked: Option<Time>,
    tally: Tally,
}

/// How many entries there are in a mailbox or under a drop id.
#[derive(Debug, Default)]
struct Tally {
    waiting: u64,
    remembered: u64,
}

impl Tally {
    const fn is_empty(&self) -> bool {
        self.waiting == 0 && self.remembered == 0
    }

    const fn acknowledged(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
        self.remembered += 1;
    }

    const fn removed(&mut self, waited: bool) {
        let count = if waited {
            &mut self.waiting
        } else {
            &mut self.remembered
        };
        *count = count.saturating_sub(1);
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub const fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            mailboxes: BTreeMap::new(),
            drops: BTreeMap::new(),
            entries: Entries::new(),
        }
    }

    fn perform(&mut self, now: Time, op: StoreOp) -> StoreOutcome {
        match op {
            StoreOp::Put {
                drop,
                message,
                grant,
                blob,
                expires,
            } => self.put(now, drop, message, grant, blob, expires),
            StoreOp::Attend {
                mailbox,
                generation,
                counter,
                stream,
                acks,
                changes,
            } => {
                let mut outcome = self.attend(now, mailbox, generation, counter, stream);
                if let StoreOutcome::Attended { refused, .. } = &mut outcome {
                    for entry in acks {
                        self.ack(mailbox, entry);
                    }
                    for change in changes {
                        *refused += u32::from(!self.change(now, mailbox, change));
                    }
                }
                outcome
            }
            StoreOp::Waiting { mailbox } => {
                StoreOutcome::Waiting(self.entries.newest(now, mailbox))
            }
            StoreOp::List {
                mailbox,
                drop,
                after,
                limit,
            } => StoreOutcome::Entries(self.entries.list(now, mailbox, drop, after, limit)),
            StoreOp::Expire => self.expire(now),
        }
    }

    fn put(
        &mut self,
        now: Time,
        drop: DropId,
        message: MessageId,
        grant: Option<MailboxId>,
        blob: Box<Blob>,
        expires: Time,
    ) -> StoreOutcome {
        let mailbox = match (self.drops.get(&drop), grant) {
            (Some(row), _) if row.revoked.is_some() => return StoreOutcome::Refused,
            (Some(row), _) => row.mailbox,
            (None, Some(mailbox)) if self.may_register(mailbox) => mailbox,
            (None, _) => return StoreOutcome::Refused,
        };
        if let Some((row, until, entry)) = self.entries.find(drop, message) {
            if until > now {
                return StoreOutcome::Stored { mailbox, entry };
            }
            self.remove(row);
        }
        if expires <= now || !self.has_room(drop, mailbox) {
            return StoreOutcome::Refused;
        }
        self.create(now, mailbox);
        if !self.drops.contains_key(&drop) {
            self.register(mailbox, drop, None);
        }
        let entry = self.number(now, mailbox, drop);
        if let Some(entry) = entry {
            self.entries
                .insert(mailbox, entry, drop, message, expires, blob);
        }
        StoreOutcome::Stored { mailbox, entry }
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

    fn has_room(&self, drop: DropId, mailbox: MailboxId) -> bool {
        let in_drop = self.drops.get(&drop).map_or(0, |row| row.tally.waiting);
        let in_mailbox = self
            .mailboxes
            .get(&mailbox)
            .map_or(0, |row| row.tally.waiting);
        in_drop < self.limits.entries_per_drop
            && in_mailbox < self.limits.entries_per_mailbox
            && self.usage().bytes().saturating_add(ENTRY_BYTES) <= self.limits.bytes
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

    fn register(&mut self, mailbox: MailboxId, drop: DropId, revoked: Option<Time>) {
        if let Some(row) = self.mailboxes.get_mut(&mailbox) {
            row.drops += 1;
        }
        self.drops.insert(
            drop,
            DropRow {
                mailbox,
                revoked,
                tally: Tally::default(),
            },
        );
    }

    /// The number of one more entry in a mailbox, under a drop id.
    fn number(&mut self, now: Time, mailbox: MailboxId, drop: DropId) -> Option<EntryId> {
        let owner = self.mailboxes.get_mut(&mailbox)?;
        let under = self.drops.get_mut(&drop)?;
        let entry = owner.next_entry;
        owner.next_entry = EntryId::new(entry.number().saturating_add(1));
        owner.tally.waiting += 1;
        owner.used = owner.used.max(now);
        under.tally.waiting += 1;
        Some(entry)
    }

    fn attend(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        generation: u64,
        counter: u64,
        stream: u64,
    ) -> StoreOutcome {
        if !self.mailboxes.contains_key(&mailbox) {
            if !self.may_create() {
                return StoreOutcome::Refused;
            }
            self.create(now, mailbox);
        }
        let Some(row) = self.mailboxes.get_mut(&mailbox) else {
            return StoreOutcome::Refused;
        };
        let passed = match &row.attended {
            Some(known) if known.generation > generation => None,
            Some(known) if known.generation == generation => known
                .window
                .accept(counter)
                .map(|window| (false, window, known.stream.max(stream))),
            _ => Some((true, Window::first(counter), stream)),
        };
        let Some((fresh, window, stream)) = passed else {
            return StoreOutcome::Replayed;
        };
        row.used = row.used.max(now);
        row.attended = Some(Attended {
            generation,
            window,
            stream,
        });
        StoreOutcome::Attended {
            fresh,
            window,
            stream,
            refused: 0,
        }
    }

    fn ack(&mut self, mailbox: MailboxId, entry: EntryId) {
        let Some(drop) = self.entries.acknowledge(mailbox, entry) else {
            return;
        };
        if let Some(owner) = self.mailboxes.get_mut(&mailbox) {
            owner.tally.acknowledged();
        }
        let Some(under) = self.drops.get_mut(&drop) else {
            return;
        };
        under.tally.acknowledged();
        if under.tally.remembered > self.limits.remembered_per_drop
            && let Some(oldest) = self.entries.oldest_remembered(drop)
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
        let room = self.may_register(mailbox);
        match self.drops.get_mut(&drop) {
            None if !room => false,
            None => {
                self.register(mailbox, drop, revoked);
                true
            }
            Some(row) if row.mailbox != mailbox => false,
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
        let is_old = |row: &DropRow| row.revoked.is_some_and(|at| at + memory <= now);
        let old: Vec<DropId> = self
            .drops
            .iter()
            .filter(|(_, row)| row.tally.is_empty() && is_old(row))
            .map(|(drop, _)| *drop)
            .take(most)
            .collect();
        for drop in &old {
            if let Some(row) = self.drops.remove(drop)
                && let Some(owner) = self.mailboxes.get_mut(&row.mailbox)
            {
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
            self.drops.retain(|_, row| row.mailbox != *mailbox);
        }
        idle.len()
    }

    /// Removes an entry of which only the name is left, or that expired.
    fn remove(&mut self, row: u64) {
        let Some((mailbox, drop, waited)) = self.entries.remove(row) else {
            return;
        };
        if let Some(owner) = self.mailboxes.get_mut(&mailbox) {
            owner.tally.removed(waited);
        }
        if let Some(under) = self.drops.get_mut(&drop) {
            under.tally.removed(waited);
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
