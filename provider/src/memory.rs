use std::collections::{BTreeMap, BTreeSet};

use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use crate::limits::ENTRY_BYTES;
use crate::store::{
    Change, EntryId, Store, StoreOp, StoreOutcome, StoreResult, StoredEntry, Usage,
};
use crate::{StoreLimits, Window};

/// Mailboxes an expiry gives up at most.
pub(crate) const IDLE_BATCH: u32 = 16;

/// A store in memory: for virtual time and tests. What it holds is gone with it.
#[derive(Debug)]
pub struct MemoryStore {
    limits: StoreLimits,
    usage: Usage,
    mailboxes: BTreeMap<MailboxId, MailboxRow>,
    drops: BTreeMap<DropId, DropRow>,
    entries: BTreeMap<u64, EntryRow>,
    next_row: u64,
    by_message: BTreeMap<(DropId, MessageId), u64>,
    by_number: BTreeMap<(MailboxId, EntryId), u64>,
    waiting: BTreeMap<(DropId, EntryId), u64>,
    remembered: BTreeSet<(DropId, u64)>,
    by_expiry: BTreeSet<(Time, u64)>,
}

#[derive(Debug)]
struct MailboxRow {
    attended: Option<Attended>,
    used: Time,
    next_entry: EntryId,
    waiting: u64,
    remembered: u64,
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
    waiting: u64,
    remembered: u64,
}

#[derive(Debug)]
struct EntryRow {
    mailbox: MailboxId,
    entry: EntryId,
    drop: DropId,
    message: MessageId,
    expires: Time,
    blob: Option<Box<Blob>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub const fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            usage: Usage {
                mailboxes: 0,
                entries: 0,
                remembered: 0,
            },
            mailboxes: BTreeMap::new(),
            drops: BTreeMap::new(),
            entries: BTreeMap::new(),
            next_row: 0,
            by_message: BTreeMap::new(),
            by_number: BTreeMap::new(),
            waiting: BTreeMap::new(),
            remembered: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
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
                let Some(outcome) = self.attend(now, mailbox, generation, counter, stream) else {
                    return StoreOutcome::Replayed;
                };
                for entry in acks {
                    self.ack(mailbox, entry);
                }
                let mut refusals = 0;
                for change in changes {
                    refusals += u32::from(!self.change(now, mailbox, change));
                }
                match outcome {
                    StoreOutcome::Attended {
                        fresh,
                        window,
                        stream,
                        ..
                    } => StoreOutcome::Attended {
                        fresh,
                        window,
                        stream,
                        refused: refusals,
                    },
                    other => other,
                }
            }
            StoreOp::Waiting { mailbox } => self.list_waiting(now, mailbox),
            StoreOp::List {
                mailbox,
                drop,
                after,
                limit,
            } => self.list(now, mailbox, drop, after, limit),
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
        if let Some(&row) = self.by_message.get(&(drop, message)) {
            match self.entries.get(&row) {
                Some(found) if found.expires > now => {
                    return StoreOutcome::Stored {
                        mailbox,
                        entry: found.blob.is_some().then_some(found.entry),
                    };
                }
                _ => self.remove(row),
            }
        }
        if expires <= now || !self.has_room(drop, mailbox) {
            return StoreOutcome::Refused;
        }
        self.create(now, mailbox);
        if !self.drops.contains_key(&drop) {
            self.register(mailbox, drop, None);
        }
        StoreOutcome::Stored {
            mailbox,
            entry: self.insert(now, mailbox, drop, message, blob, expires),
        }
    }

    fn may_register(&self, mailbox: MailboxId) -> bool {
        match self.mailboxes.get(&mailbox) {
            Some(row) => row.drops < self.limits.drops_per_mailbox,
            None => {
                self.usage.mailboxes < self.limits.mailboxes && self.limits.drops_per_mailbox > 0
            }
        }
    }

    fn has_room(&self, drop: DropId, mailbox: MailboxId) -> bool {
        let in_drop = self.drops.get(&drop).map_or(0, |row| row.waiting);
        let in_mailbox = self.mailboxes.get(&mailbox).map_or(0, |row| row.waiting);
        in_drop < self.limits.entries_per_drop
            && in_mailbox < self.limits.entries_per_mailbox
            && self.usage.bytes().saturating_add(ENTRY_BYTES) <= self.limits.bytes
    }

    fn create(&mut self, now: Time, mailbox: MailboxId) {
        if self.mailboxes.contains_key(&mailbox) {
            return;
        }
        self.usage.mailboxes += 1;
        self.mailboxes.insert(
            mailbox,
            MailboxRow {
                attended: None,
                used: now,
                next_entry: EntryId::new(1),
                waiting: 0,
                remembered: 0,
                drops: 0,
            },
        );
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
                waiting: 0,
                remembered: 0,
            },
        );
    }

    fn insert(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        drop: DropId,
        message: MessageId,
        blob: Box<Blob>,
        expires: Time,
    ) -> Option<EntryId> {
        let owner = self.mailboxes.get_mut(&mailbox)?;
        let under = self.drops.get_mut(&drop)?;
        let entry = owner.next_entry;
        owner.next_entry = EntryId::new(entry.number().saturating_add(1));
        owner.waiting += 1;
        owner.used = owner.used.max(now);
        under.waiting += 1;
        self.usage.entries += 1;
        let row = self.next_row;
        self.next_row += 1;
        self.by_message.insert((drop, message), row);
        self.by_number.insert((mailbox, entry), row);
        self.waiting.insert((drop, entry), row);
        self.by_expiry.insert((expires, row));
        self.entries.insert(
            row,
            EntryRow {
                mailbox,
                entry,
                drop,
                message,
                expires,
                blob: Some(blob),
            },
        );
        Some(entry)
    }

    /// None: replayed.
    fn attend(
        &mut self,
        now: Time,
        mailbox: MailboxId,
        generation: u64,
        counter: u64,
        stream: u64,
    ) -> Option<StoreOutcome> {
        if !self.mailboxes.contains_key(&mailbox) {
            if self.usage.mailboxes >= self.limits.mailboxes {
                return Some(StoreOutcome::Refused);
            }
            self.create(now, mailbox);
        }
        let row = self.mailboxes.get_mut(&mailbox)?;
        let (fresh, window, stream) = match &row.attended {
            Some(known) if known.generation > generation => return None,
            Some(known) if known.generation == generation => {
                let window = known.window.accept(counter)?;
                (false, window, known.stream.max(stream))
            }
            _ => (true, Window::first(counter), stream),
        };
        row.used = row.used.max(now);
        row.attended = Some(Attended {
            generation,
            window,
            stream,
        });
        Some(StoreOutcome::Attended {
            fresh,
            window,
            stream,
            refused: 0,
        })
    }

    fn ack(&mut self, mailbox: MailboxId, entry: EntryId) {
        let Some(&row) = self.by_number.get(&(mailbox, entry)) else {
            return;
        };
        let Some(found) = self.entries.get_mut(&row) else {
            return;
        };
        if found.blob.take().is_none() {
            return;
        }
        let drop = found.drop;
        self.waiting.remove(&(drop, entry));
        self.remembered.insert((drop, row));
        self.usage.entries = self.usage.entries.saturating_sub(1);
        self.usage.remembered += 1;
        if let Some(owner) = self.mailboxes.get_mut(&mailbox) {
            owner.waiting = owner.waiting.saturating_sub(1);
            owner.remembered += 1;
        }
        let Some(under) = self.drops.get_mut(&drop) else {
            return;
        };
        under.waiting = under.waiting.saturating_sub(1);
        under.remembered += 1;
        if under.remembered > self.limits.remembered_per_drop {
            let oldest = self.remembered.range((drop, 0)..).next().copied();
            if let Some((_, oldest)) = oldest {
                self.remove(oldest);
            }
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

    fn list_waiting(&self, now: Time, mailbox: MailboxId) -> StoreOutcome {
        let mut drops: BTreeMap<DropId, EntryId> = BTreeMap::new();
        for (&(_, entry), row) in self
            .by_number
            .range((mailbox, EntryId::START)..)
            .take_while(|((of, _), _)| *of == mailbox)
        {
            if let Some(row) = self.entries.get(row)
                && row.blob.is_some()
                && row.expires > now
            {
                drops.insert(row.drop, entry);
            }
        }
        StoreOutcome::Waiting(drops.into_iter().collect())
    }

    fn list(
        &self,
        now: Time,
        mailbox: MailboxId,
        drop: DropId,
        after: EntryId,
        limit: u32,
    ) -> StoreOutcome {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let entries = self
            .waiting
            .range((drop, EntryId::new(after.number().saturating_add(1)))..)
            .take_while(|((under, _), _)| *under == drop)
            .filter_map(|(_, row)| self.entries.get(row))
            .filter(|row| row.mailbox == mailbox && row.expires > now)
            .filter_map(|row| {
                Some(StoredEntry {
                    entry: row.entry,
                    message: row.message,
                    blob: row.blob.clone()?,
                })
            })
            .take(limit)
            .collect();
        StoreOutcome::Entries(entries)
    }

    fn expire(&mut self, now: Time) -> StoreOutcome {
        let batch = usize::try_from(self.limits.expire_batch).unwrap_or(usize::MAX);
        let rows: Vec<u64> = self
            .by_expiry
            .iter()
            .take_while(|(expires, _)| *expires <= now)
            .take(batch)
            .map(|(_, row)| *row)
            .collect();
        for row in &rows {
            self.remove(*row);
        }
        let memory = self.limits.revoked_memory;
        let drops: Vec<DropId> = self
            .drops
            .iter()
            .filter(|(_, row)| {
                row.waiting == 0
                    && row.remembered == 0
                    && row.revoked.is_some_and(|at| at + memory <= now)
            })
            .map(|(drop, _)| *drop)
            .take(batch)
            .collect();
        for drop in &drops {
            if let Some(row) = self.drops.remove(drop)
                && let Some(owner) = self.mailboxes.get_mut(&row.mailbox)
            {
                owner.drops = owner.drops.saturating_sub(1);
            }
        }
        let idle = self.give_up_idle(now);
        StoreOutcome::Expired {
            removed: (rows.len() + drops.len() + idle) as u64,
            more: rows.len() == batch
                || drops.len() == batch
                || idle == usize::try_from(IDLE_BATCH).unwrap_or(usize::MAX),
        }
    }

    fn give_up_idle(&mut self, now: Time) -> usize {
        let idle: Vec<MailboxId> = self
            .mailboxes
            .iter()
            .filter(|(_, row)| {
                row.waiting == 0
                    && row.remembered == 0
                    && row.used + self.limits.mailbox_idle <= now
            })
            .map(|(mailbox, _)| *mailbox)
            .take(usize::try_from(IDLE_BATCH).unwrap_or(usize::MAX))
            .collect();
        for mailbox in &idle {
            self.mailboxes.remove(mailbox);
            self.drops.retain(|_, row| row.mailbox != *mailbox);
            self.usage.mailboxes = self.usage.mailboxes.saturating_sub(1);
        }
        idle.len()
    }

    /// Removes an entry of which only the name is left, or that expired.
    fn remove(&mut self, row: u64) {
        let Some(gone) = self.entries.remove(&row) else {
            return;
        };
        self.by_message.remove(&(gone.drop, gone.message));
        self.by_number.remove(&(gone.mailbox, gone.entry));
        self.by_expiry.remove(&(gone.expires, row));
        let waited = gone.blob.is_some();
        if waited {
            self.waiting.remove(&(gone.drop, gone.entry));
            self.usage.entries = self.usage.entries.saturating_sub(1);
        } else {
            self.remembered.remove(&(gone.drop, row));
            self.usage.remembered = self.usage.remembered.saturating_sub(1);
        }
        if let Some(owner) = self.mailboxes.get_mut(&gone.mailbox) {
            let count = if waited {
                &mut owner.waiting
            } else {
                &mut owner.remembered
            };
            *count = count.saturating_sub(1);
        }
        if let Some(under) = self.drops.get_mut(&gone.drop) {
            let count = if waited {
                &mut under.waiting
            } else {
                &mut under.remembered
            };
            *count = count.saturating_sub(1);
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
        self.usage
    }
}
