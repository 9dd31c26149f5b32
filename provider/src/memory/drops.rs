//! The table of drop ids, and of the sets that they are registered in.

use std::collections::{BTreeMap, BTreeSet};

use shoal_packet::command::{DropSet, SetSize};
use shoal_proto::{DropId, MailboxId};

use super::tally::Tally;

/// Drop ids, each of one mailbox, revoked ones included.
#[derive(Debug)]
pub(super) struct Drops {
    rows: BTreeMap<DropId, DropRow>,
    /// By mailbox and secret.
    sets: BTreeMap<(MailboxId, [u8; 32]), SetSize>,
    by_mailbox: BTreeMap<MailboxId, BTreeSet<DropId>>,
}

#[derive(Debug)]
pub(super) struct DropRow {
    pub(super) mailbox: MailboxId,
    pub(super) revoked: bool,
    pub(super) tally: Tally,
}

impl Drops {
    pub(super) const fn new() -> Self {
        Self {
            rows: BTreeMap::new(),
            sets: BTreeMap::new(),
            by_mailbox: BTreeMap::new(),
        }
    }

    pub(super) fn get(&self, drop: DropId) -> Option<&DropRow> {
        self.rows.get(&drop)
    }

    pub(super) fn get_mut(&mut self, drop: DropId) -> Option<&mut DropRow> {
        self.rows.get_mut(&drop)
    }

    /// Registers a set, unless the mailbox has `most` already; whether it is registered.
    pub(super) fn register(&mut self, mailbox: MailboxId, set: &DropSet, most: u64) -> bool {
        let key = (mailbox, *set.secret());
        if let Some(size) = self.sets.get(&key) {
            return *size == set.size();
        }
        if self.sets_of(mailbox).count() as u64 >= most {
            return false;
        }
        self.sets.insert(key, set.size());
        let own = self.by_mailbox.entry(mailbox).or_default();
        for (_, drop) in set.ids(&mailbox) {
            own.insert(drop);
            let row = DropRow {
                mailbox,
                revoked: false,
                tally: Tally::default(),
            };
            self.rows.insert(drop, row);
        }
        true
    }

    fn sets_of(&self, mailbox: MailboxId) -> impl Iterator<Item = [u8; 32]> + '_ {
        self.sets
            .range((mailbox, [0; 32])..=(mailbox, [0xff; 32]))
            .map(|((_, secret), _)| *secret)
    }

    /// Removes all that a mailbox has.
    pub(super) fn remove_all(&mut self, mailbox: MailboxId) {
        let secrets: Vec<_> = self.sets_of(mailbox).collect();
        for secret in secrets {
            self.sets.remove(&(mailbox, secret));
        }
        for drop in self.by_mailbox.remove(&mailbox).unwrap_or_default() {
            self.rows.remove(&drop);
        }
    }
}
