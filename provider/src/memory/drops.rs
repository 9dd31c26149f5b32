//! The table of drop ids: whose they are, and who registered one first.

use std::collections::{BTreeMap, BTreeSet};

use shoal_proto::{DropId, MailboxId, Time};

use super::entries::DropKey;
use super::tally::Tally;

/// Drop ids of mailboxes, revoked ones included. One drop id may be several mailboxes'.
#[derive(Debug)]
pub(super) struct Drops {
    rows: BTreeMap<DropKey, DropRow>,
    /// The mailboxes that have a drop id, the first to register it first.
    by_age: BTreeMap<DropId, BTreeSet<(u64, MailboxId)>>,
    next_age: u64,
}

#[derive(Debug)]
pub(super) struct DropRow {
    age: u64,
    pub(super) revoked: Option<Time>,
    pub(super) tally: Tally,
}

impl Drops {
    pub(super) const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_age: BTreeMap::new(),
            next_age: 0,
        }
    }

    pub(super) fn get(&self, key: DropKey) -> Option<&DropRow> {
        self.rows.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: DropKey) -> Option<&mut DropRow> {
        self.rows.get_mut(&key)
    }

    /// The mailbox that registered the drop id first.
    pub(super) fn first(&self, drop: DropId) -> Option<MailboxId> {
        let (_, mailbox) = self.by_age.get(&drop)?.first()?;
        Some(*mailbox)
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, key: DropKey, revoked: Option<Time>) {
        let age = self.next_age;
        self.next_age += 1;
        let owners = self.by_age.entry(key.drop).or_default();
        owners.insert((age, key.mailbox));
        let row = DropRow {
            age,
            revoked,
            tally: Tally::default(),
        };
        self.rows.insert(key, row);
    }

    /// Those that are empty and were revoked by then, in order.
    pub(super) fn given_up(&self, revoked_by: impl Fn(Time) -> bool, most: usize) -> Vec<DropKey> {
        let is_old = |row: &DropRow| row.tally.is_empty() && row.revoked.is_some_and(&revoked_by);
        let old = self.rows.iter().filter(|(_, row)| is_old(row));
        old.map(|(key, _)| *key).take(most).collect()
    }

    pub(super) fn remove(&mut self, key: DropKey) {
        let Some(row) = self.rows.remove(&key) else {
            return;
        };
        if let Some(owners) = self.by_age.get_mut(&key.drop) {
            owners.remove(&(row.age, key.mailbox));
            if owners.is_empty() {
                self.by_age.remove(&key.drop);
            }
        }
    }

    /// Removes all that a mailbox has.
    pub(super) fn remove_all(&mut self, mailbox: MailboxId) {
        let start = DropKey {
            mailbox,
            drop: DropId::new([0; 32]),
        };
        let all = self.rows.range(start..).map(|(key, _)| *key);
        let own: Vec<DropKey> = all.take_while(|key| key.mailbox == mailbox).collect();
        own.into_iter().for_each(|key| self.remove(key));
    }
}
