//! The table of entries, and all the orders in which they are looked for.

use std::collections::{BTreeMap, BTreeSet};

use shoal_packet::command::Blob;
use shoal_proto::{DropId, MailboxId, MessageId, Time};

use crate::Due;
use crate::inventory;
use crate::store::{EntryId, StoredEntry};
use crate::times::micros;

/// A drop id of one mailbox; another mailbox may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DropKey {
    pub(super) mailbox: MailboxId,
    pub(super) drop: DropId,
}

/// Entries that wait, and the names of those that were acknowledged.
#[derive(Debug)]
pub(super) struct Entries {
    rows: BTreeMap<u64, Row>,
    next_row: u64,
    by_message: BTreeMap<(DropKey, MessageId), u64>,
    by_number: BTreeMap<(MailboxId, EntryId), u64>,
    waiting: BTreeMap<(DropKey, EntryId), u64>,
    remembered: BTreeSet<(DropKey, u64)>,
    by_expiry: BTreeSet<(Time, u64)>,
}

#[derive(Debug)]
struct Row {
    under: DropKey,
    entry: EntryId,
    message: MessageId,
    expires: Time,
    /// None once it was acknowledged.
    blob: Option<Box<Blob>>,
}

impl Entries {
    pub(super) const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            next_row: 0,
            by_message: BTreeMap::new(),
            by_number: BTreeMap::new(),
            waiting: BTreeMap::new(),
            remembered: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
        }
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Of how many only the name is left.
    pub(super) fn remembered(&self) -> u64 {
        self.remembered.len() as u64
    }

    /// The row of this name, when it expires, and its number if it waits.
    pub(super) fn find(
        &self,
        under: DropKey,
        message: MessageId,
    ) -> Option<(u64, Time, Option<EntryId>)> {
        let row = *self.by_message.get(&(under, message))?;
        let found = self.rows.get(&row)?;
        let entry = found.blob.is_some().then_some(found.entry);
        Some((row, found.expires, entry))
    }

    pub(super) fn insert(
        &mut self,
        under: DropKey,
        entry: EntryId,
        message: MessageId,
        expires: Time,
        blob: Box<Blob>,
    ) {
        let row = self.next_row;
        self.next_row += 1;
        self.by_message.insert((under, message), row);
        self.by_number.insert((under.mailbox, entry), row);
        self.waiting.insert((under, entry), row);
        self.by_expiry.insert((expires, row));
        self.rows.insert(
            row,
            Row {
                under,
                entry,
                message,
                expires,
                blob: Some(blob),
            },
        );
    }

    /// Keeps only the name of an entry that waits. Gives what it was under; none if there is no such
    /// entry or it waits no more.
    pub(super) fn acknowledge(&mut self, mailbox: MailboxId, entry: EntryId) -> Option<DropKey> {
        let row = *self.by_number.get(&(mailbox, entry))?;
        let found = self.rows.get_mut(&row)?;
        found.blob.take()?;
        self.waiting.remove(&(found.under, entry));
        self.remembered.insert((found.under, row));
        Some(found.under)
    }

    /// The row of the oldest name that the drop id remembers.
    pub(super) fn oldest_remembered(&self, under: DropKey) -> Option<u64> {
        let (of, row) = self.remembered.range((under, 0)..).next()?;
        (*of == under).then_some(*row)
    }

    /// The rows of names that a mailbox remembers: at most so many.
    pub(super) fn remembered_of(&self, mailbox: MailboxId, most: usize) -> Vec<u64> {
        let first = DropKey {
            mailbox,
            drop: DropId::new([0; 32]),
        };
        let own = self.remembered.range((first, 0)..);
        own.take_while(|(under, _)| under.mailbox == mailbox)
            .map(|(_, row)| *row)
            .take(most)
            .collect()
    }

    /// Gives what it was under, and whether it waited.
    pub(super) fn remove(&mut self, row: u64) -> Option<(DropKey, bool)> {
        let gone = self.rows.remove(&row)?;
        self.by_message.remove(&(gone.under, gone.message));
        self.by_number.remove(&(gone.under.mailbox, gone.entry));
        self.by_expiry.remove(&(gone.expires, row));
        self.waiting.remove(&(gone.under, gone.entry));
        self.remembered.remove(&(gone.under, row));
        Some((gone.under, gone.blob.is_some()))
    }

    /// The rows that have expired, the oldest first.
    pub(super) fn expired(&self, now: Time, most: usize) -> Vec<u64> {
        self.by_expiry
            .iter()
            .take_while(|(expires, _)| *expires <= now)
            .take(most)
            .map(|(_, row)| *row)
            .collect()
    }

    /// How much expires in these hours.
    pub(super) fn due(&self, from: Time, until: Option<Time>) -> Due {
        let (first, last) = inventory::range(from, until);
        let mut due = Due::default();
        let mut mailboxes = BTreeSet::new();
        let since = Time::from_micros(first.max(0).cast_unsigned());
        for (_, row) in self
            .by_expiry
            .range((since, 0)..)
            .take_while(|(expires, _)| micros(*expires) <= last)
        {
            match self.rows.get(row) {
                Some(row) if row.blob.is_some() => {
                    due.entries += 1;
                    mailboxes.insert(row.under.mailbox);
                }
                _ => due.remembered += 1,
            }
        }
        due.mailboxes = mailboxes.len() as u64;
        let after = last.checked_add(1).map(|after| after.max(0));
        let after = after.map(|after| Time::from_micros(after.cast_unsigned()));
        let next = after.and_then(|after| self.by_expiry.range((after, 0)..).next());
        due.next = next.map(|(expires, _)| inventory::hour(micros(*expires)));
        due
    }

    /// The drop ids of a mailbox under which something waits, each with its newest entry.
    pub(super) fn newest(&self, now: Time, mailbox: MailboxId) -> Vec<(DropId, EntryId)> {
        let mut drops: BTreeMap<DropId, EntryId> = BTreeMap::new();
        for (&(_, entry), row) in self
            .by_number
            .range((mailbox, EntryId::START)..)
            .take_while(|((of, _), _)| *of == mailbox)
        {
            if let Some(row) = self.rows.get(row)
                && row.blob.is_some()
                && row.expires > now
            {
                drops.insert(row.under.drop, entry);
            }
        }
        drops.into_iter().collect()
    }

    /// What waits under a drop id of a mailbox after a cursor, the oldest first.
    pub(super) fn list(
        &self,
        now: Time,
        under: DropKey,
        after: EntryId,
        limit: u32,
    ) -> Vec<StoredEntry> {
        self.waiting
            .range((under, EntryId::new(after.number().saturating_add(1)))..)
            .take_while(|((of, _), _)| *of == under)
            .filter_map(|(_, row)| self.rows.get(row))
            .filter(|row| row.expires > now)
            .filter_map(|row| {
                Some(StoredEntry {
                    entry: row.entry,
                    message: row.message,
                    blob: row.blob.clone()?,
                })
            })
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .collect()
    }
}
