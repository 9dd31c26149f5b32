//! The rows that a run of operations concerns, in memory: loaded before it, and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use shoal_packet::command::{Blob, DropSet};
use shoal_proto::{DropId, MailboxId, MessageId};

use crate::memory::tally::Tally;
use crate::seal::OwnKey;
use crate::store::SpentToken;
use crate::window::Attended;
use crate::{StoreError, StoreKey};

/// A mailbox.
pub(super) struct MailboxRow {
    pub(super) own: OwnKey,
    pub(super) attended: Option<Attended>,
    pub(super) closed: bool,
    pub(super) created: i64,
    pub(super) used: i64,
    pub(super) next_entry: i64,
    pub(super) tally: Tally,
    pub(super) sets: i64,
}

/// A set of drop ids.
pub(super) struct SetRow {
    pub(super) mailbox: i64,
    pub(super) set: DropSet,
}

/// A drop id that was used, or revoked.
pub(super) struct DropRow {
    pub(super) set: i64,
    pub(super) number: u16,
    pub(super) mailbox: i64,
    pub(super) revoked: bool,
    pub(super) tally: Tally,
}

/// In which table an entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    Waiting,
    Remembered,
}

/// An entry, also one that was removed.
pub(super) struct EntryRow<'a> {
    pub(super) mailbox: i64,
    /// Its number in the mailbox.
    pub(super) entry: i64,
    pub(super) drop: i64,
    pub(super) message: MessageId,
    pub(super) expires: i64,
    /// Where it was when it was loaded.
    pub(super) was: Place,
    pub(super) is: Place,
    /// Of an entry that is new.
    pub(super) blob: Option<&'a Blob>,
}

/// A drop id as far as deciding needs it.
#[derive(Clone, Copy)]
pub(super) struct Under {
    /// None while nothing was put under it, and it is not revoked.
    pub(super) drop: Option<i64>,
    pub(super) mailbox: i64,
    pub(super) key: MailboxId,
    pub(super) set: i64,
    pub(super) number: u16,
}

/// The rows of a run of operations.
#[derive(Default)]
pub(super) struct Sheet<'a> {
    pub(super) mailboxes: BTreeMap<i64, MailboxRow>,
    pub(super) sets: BTreeMap<i64, SetRow>,
    /// Drop ids by their tag: the set and the number in it.
    pub(super) names: BTreeMap<i64, (i64, u16)>,
    /// Tags that new sets would have and others have already.
    pub(super) taken: BTreeSet<i64>,
    pub(super) drops: BTreeMap<i64, DropRow>,
    pub(super) entries: BTreeMap<i64, EntryRow<'a>>,
    /// Drop ids, and what they remember by its number and its id: all that may come to be the oldest.
    pub(super) remembered: BTreeSet<(i64, i64, i64)>,
    by_key: BTreeMap<MailboxId, i64>,
    by_number: BTreeMap<(i64, i64), i64>,
    drop_of: BTreeMap<(i64, u16), i64>,
    by_message: BTreeMap<(i64, MessageId), i64>,
    pub(super) changed_mailboxes: BTreeSet<i64>,
    pub(super) changed_drops: BTreeSet<i64>,
    pub(super) new_sets: Vec<i64>,
    /// Of the tokens that the operations bring, and of what they claim, the names of those that were spent.
    pub(super) spent: BTreeSet<[u8; 32]>,
    /// Tokens that are spent by these operations.
    pub(super) new_spent: Vec<SpentToken>,
}

/// A row that others name, and that was not loaded with them.
fn missing() -> StoreError {
    StoreError::Corrupt("a row is missing that others name".to_owned())
}

impl<'a> Sheet<'a> {
    /// Remembers that this one was spent.
    pub(super) fn spend(&mut self, token: SpentToken) {
        self.spent.insert(token.name);
        self.new_spent.push(token);
    }

    pub(super) fn add_mailbox(&mut self, id: i64, row: MailboxRow) {
        self.by_key.insert(*row.own.owner(), id);
        self.mailboxes.insert(id, row);
    }

    pub(super) fn add_drop(&mut self, id: i64, row: DropRow) {
        self.drop_of.insert((row.set, row.number), id);
        self.drops.insert(id, row);
    }

    pub(super) fn add_entry(&mut self, id: i64, row: EntryRow<'a>) {
        self.by_message.insert((row.drop, row.message), id);
        match row.is {
            Place::Waiting => {
                self.by_number.insert((row.mailbox, row.entry), id);
            }
            Place::Remembered => {
                self.remembered.insert((row.drop, row.entry, id));
            }
            Place::Nowhere => {}
        }
        self.entries.insert(id, row);
    }

    pub(super) fn mailbox(&self, key: &MailboxId) -> Option<i64> {
        self.by_key.get(key).copied()
    }

    /// To be changed.
    pub(super) fn mailbox_mut(&mut self, id: i64) -> Result<&mut MailboxRow, StoreError> {
        self.changed_mailboxes.insert(id);
        self.mailboxes.get_mut(&id).ok_or_else(missing)
    }

    pub(super) fn mailbox_row(&self, id: i64) -> Result<&MailboxRow, StoreError> {
        self.mailboxes.get(&id).ok_or_else(missing)
    }

    /// To be changed.
    pub(super) fn drop_mut(&mut self, id: i64) -> Result<&mut DropRow, StoreError> {
        self.changed_drops.insert(id);
        self.drops.get_mut(&id).ok_or_else(missing)
    }

    /// The set of a mailbox that has this secret.
    pub(super) fn set_of(&self, mailbox: i64, secret: &[u8; 32]) -> Option<&DropSet> {
        let mut own = self.sets.values().filter(|row| row.mailbox == mailbox);
        own.find(|row| row.set.secret() == secret)
            .map(|row| &row.set)
    }

    /// The mailbox that has registered a drop id, and what is known of the id.
    pub(super) fn under(&self, key: &StoreKey, drop: &DropId) -> Result<Option<Under>, StoreError> {
        let Some(&(set, number)) = self.names.get(&key.tag(drop)) else {
            return Ok(None);
        };
        let row = self.sets.get(&set).ok_or_else(missing)?;
        let key = *self.mailbox_row(row.mailbox)?.own.owner();
        let under = Under {
            drop: self.drop_of.get(&(set, number)).copied(),
            mailbox: row.mailbox,
            key,
            set,
            number,
        };
        Ok((row.set.id(&key, number) == *drop).then_some(under))
    }

    /// The entry of this name, also if it was acknowledged.
    pub(super) fn named(&self, drop: i64, message: &MessageId) -> Option<(i64, &EntryRow<'a>)> {
        let id = *self.by_message.get(&(drop, *message))?;
        Some((id, self.entries.get(&id)?))
    }

    /// The entry of this number that waits.
    pub(super) fn numbered(&self, mailbox: i64, entry: i64) -> Option<i64> {
        self.by_number.get(&(mailbox, entry)).copied()
    }

    /// The oldest that a drop id remembers.
    pub(super) fn oldest_remembered(&self, drop: i64) -> Option<i64> {
        let mut own = self
            .remembered
            .range((drop, i64::MIN, i64::MIN)..=(drop, i64::MAX, i64::MAX));
        own.next().map(|(_, _, id)| *id)
    }

    /// Moves an entry. Gives where it was, of which mailbox and under which drop id it is.
    pub(super) fn place(&mut self, id: i64, place: Place) -> Result<(Place, i64, i64), StoreError> {
        let row = self.entries.get_mut(&id).ok_or_else(missing)?;
        let (before, mailbox, drop, entry) = (row.is, row.mailbox, row.drop, row.entry);
        row.is = place;
        self.by_number.remove(&(mailbox, entry));
        if place == Place::Nowhere {
            self.by_message.remove(&(drop, row.message));
            self.remembered.remove(&(drop, entry, id));
        } else {
            self.remembered.insert((drop, entry, id));
        }
        Ok((before, mailbox, drop))
    }
}
