//! Messages that are not complete, put together fragment by fragment, within a bound.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use shoal_packet::fragment::{self, Envelope, Fragment, Shape};
use zeroize::Zeroizing;

use crate::contacts::Contacts;
use crate::error::ClientError;
use crate::keys::PeerKey;
use crate::rows::{self, Change, InboxKey, Row};
use crate::table::Table;

struct Partial {
    envelope: Envelope,
    shape: Shape,
    /// Orders messages by age.
    age: u64,
    parts: BTreeMap<u16, Zeroizing<Vec<u8>>>,
}

/// A message of which as many fragments are here as it takes.
pub(super) struct Whole {
    pub(super) envelope: Envelope,
    /// None if they are of no text: its sender made parity from something else.
    pub(super) text: Option<Vec<u8>>,
    /// Its fragments' rows are not needed any more.
    pub(super) changes: Vec<Change>,
}

/// Unfinished messages by sender (who has proven who they are: a stranger can't add to somebody
/// else's message) and id. When there are more than `limit` fragments, the oldest message of the
/// sender who holds most is given up, so that a flood is its sender's own loss. A stranger, to whom this
/// client never wrote, can be as many senders as it likes: when strangers hold more than their part,
/// one of theirs is given up.
pub(super) struct Partials {
    messages: BTreeMap<InboxKey, Partial>,
    fragments: usize,
    limit: usize,
    of_strangers: usize,
    next_age: u64,
    discarded: u64,
}

impl Partials {
    pub(super) fn new(limit: usize, of_strangers: usize) -> Self {
        Self {
            messages: BTreeMap::new(),
            fragments: 0,
            limit,
            of_strangers,
            next_age: 0,
            discarded: 0,
        }
    }

    pub(super) fn restore(&mut self, rows: &[Row]) -> Result<(), ClientError> {
        let mut fragments = Vec::new();
        for row in rows.iter().filter(|row| row.table == Table::Partial) {
            let (key, index) = InboxKey::decode_partial(&row.key).map_err(|e| row.fault(e))?;
            let (time, bytes) = rows::decode_partial(&row.value).map_err(|e| row.fault(e))?;
            let fragment = rows::parse_partial(bytes).map_err(|e| row.fault(e))?;
            if fragment.index != index || fragment.envelope.message != key.message {
                return Err(row.fault("it is another fragment than its key says"));
            }
            fragments.push((time, key, fragment));
        }
        fragments.sort_by_key(|(time, key, fragment)| (*time, *key, fragment.index));
        for (_, key, fragment) in fragments {
            self.insert(key, fragment);
        }
        Ok(())
    }

    /// Fragments given up for lack of room.
    pub(super) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Whether the fragment can't be of the message that it says it is of.
    pub(super) fn contradicts(&self, key: &InboxKey, fragment: &Fragment) -> bool {
        self.messages.get(key).is_some_and(|partial| {
            let known = partial.parts.get(&fragment.index);
            partial.envelope != fragment.envelope
                || partial.shape != fragment.shape
                || known.is_some_and(|part| *part != fragment.part)
        })
    }

    /// Adds a fragment that contradicts nothing.
    pub(super) fn insert(&mut self, key: InboxKey, fragment: Fragment) {
        self.next_age += 1;
        let age = self.next_age;
        let partial = self.messages.entry(key).or_insert_with(|| Partial {
            envelope: fragment.envelope,
            shape: fragment.shape,
            age,
            parts: BTreeMap::new(),
        });
        let known = partial.parts.insert(fragment.index, fragment.part);
        self.fragments += usize::from(known.is_none());
    }

    /// Takes the message out if enough of it is there: as many fragments as it has with text, whichever
    /// they are. What these say is the message; nobody waits for the rest to hold them against it.
    pub(super) fn take_whole(&mut self, key: &InboxKey) -> Option<Whole> {
        let partial = self.messages.get(key)?;
        if partial.parts.len() < usize::from(partial.shape.count()) {
            return None;
        }
        let partial = self.remove(key)?;
        let text = fragment::join(partial.shape, &partial.parts);
        Some(Whole {
            envelope: partial.envelope,
            text: text.ok().map(|mut text| std::mem::take(&mut *text)),
            changes: deletions(key, &partial),
        })
    }

    /// Gives up messages until the rest fits; not the one in hand. Returns their rows.
    pub(super) fn make_room(&mut self, keep: &InboxKey, contacts: &Contacts) -> Vec<Change> {
        // All together are within both bounds, as they mostly are: nobody has to be counted.
        if self.fragments <= self.limit.min(self.of_strangers) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let mut strange = self.strangers(contacts);
        while self.fragments > self.limit || strange > self.of_strangers {
            let spared = (strange > self.of_strangers).then_some(contacts);
            let Some(victim) = self.victim(keep, spared) else {
                break;
            };
            if let Some(partial) = self.remove(&victim) {
                let parts = partial.parts.len();
                self.discarded += parts as u64;
                if !contacts.is_known(&victim.sender) {
                    strange -= parts;
                }
                changes.extend(deletions(&victim, &partial));
            }
        }
        changes
    }

    /// A message is not waited for any more. Returns the rows to save.
    pub(super) fn give_up(&mut self, key: &InboxKey) -> Vec<Change> {
        let partial = self.remove(key);
        partial.map_or_else(Vec::new, |partial| deletions(key, &partial))
    }

    /// Nothing is known of a sender any more. Returns the rows to save.
    pub(super) fn forget(&mut self, sender: &PeerKey) -> Vec<Change> {
        let own = self.messages.keys().filter(|key| key.sender == *sender);
        let own: Vec<InboxKey> = own.copied().collect();
        let gone = own.into_iter().filter_map(|key| {
            let partial = self.remove(&key)?;
            Some(deletions(&key, &partial))
        });
        gone.flatten().collect()
    }

    /// Fragments of strangers.
    fn strangers(&self, contacts: &Contacts) -> usize {
        let strange = |(key, _): &(&InboxKey, &Partial)| !contacts.is_known(&key.sender);
        let held = self.messages.iter().filter(strange);
        held.map(|(_, partial)| partial.parts.len()).sum()
    }

    /// The message to give up; one of a stranger, if contacts are named.
    fn victim(&self, keep: &InboxKey, spared: Option<&Contacts>) -> Option<InboxKey> {
        let mut held: BTreeMap<_, usize> = BTreeMap::new();
        for (key, partial) in &self.messages {
            *held.entry(key.sender).or_default() += partial.parts.len();
        }
        self.messages
            .iter()
            .filter(|(key, _)| *key != keep)
            .filter(|(key, _)| !spared.is_some_and(|contacts| contacts.is_known(&key.sender)))
            .max_by_key(|(key, partial)| (held.get(&key.sender), Reverse(partial.age)))
            .map(|(key, _)| *key)
    }

    fn remove(&mut self, key: &InboxKey) -> Option<Partial> {
        let partial = self.messages.remove(key)?;
        self.fragments -= partial.parts.len();
        Some(partial)
    }
}

fn deletions(key: &InboxKey, partial: &Partial) -> Vec<Change> {
    let row = |index: &u16| Change::delete(Table::Partial, key.partial(*index));
    partial.parts.keys().map(row).collect()
}

#[cfg(test)]
impl Partials {
    /// Messages, and fragments of them.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.messages.len(), self.fragments)
    }
}
