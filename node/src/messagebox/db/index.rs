//! What is in memory of messages, so that they are found: everything but what they say.

use std::collections::{BTreeMap, BTreeSet};

use super::super::auth::IdentityKey;
use super::rows::Head;
use super::{Bounds, OVERHEAD, Size};

/// A recipient, and the name of a box of its, or the id of a message to it.
type Of = (IdentityKey, String);

/// The messages in boxes.
#[derive(Default)]
pub(super) struct Index {
    /// The largest number so far: none is another message's while this is in memory.
    last: u64,
    heads: BTreeMap<u64, Head>,
    boxes: BTreeMap<Of, BTreeSet<u64>>,
    ids: BTreeMap<Of, BTreeSet<u64>>,
    /// What each contact's count for, in bytes; the user's own are under zeros.
    of_contacts: BTreeMap<[u8; 32], u64>,
}

impl Index {
    /// A number that is larger than every other.
    pub(super) fn next(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub(super) fn put(&mut self, number: u64, head: Head) {
        self.last = self.last.max(number);
        *self.of_contacts.entry(head.contact).or_default() += counts(&head);
        let of = |name: &String| (head.recipient, name.clone());
        self.boxes.entry(of(&head.name)).or_default().insert(number);
        self.ids.entry(of(&head.id)).or_default().insert(number);
        self.heads.insert(number, head);
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(head) = self.heads.remove(&number) else {
            return;
        };
        let of = |name: String| (head.recipient, name);
        for (all, of) in [
            (&mut self.boxes, of(head.name.clone())),
            (&mut self.ids, of(head.id.clone())),
        ] {
            if let Some(numbers) = all.get_mut(&of) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    all.remove(&of);
                }
            }
        }
        if let Some(bytes) = self.of_contacts.get_mut(&head.contact) {
            *bytes = bytes.saturating_sub(counts(&head));
            if *bytes == 0 {
                self.of_contacts.remove(&head.contact);
            }
        }
    }

    pub(super) fn head(&self, number: u64) -> Option<&Head> {
        self.heads.get(&number)
    }

    /// Those of a box, oldest first, each the oldest with its id: clients know messages by their id alone.
    pub(super) fn in_box(&self, recipient: IdentityKey, name: &str) -> Vec<u64> {
        let found = self.boxes.get(&(recipient, name.to_owned()));
        let numbers = found.into_iter().flatten().copied();
        numbers.filter(|number| self.is_first(*number)).collect()
    }

    /// Whether it is the oldest with its id.
    pub(super) fn is_first(&self, number: u64) -> bool {
        let Some(head) = self.head(number) else {
            return false;
        };
        let same = self.ids.get(&(head.recipient, head.id.clone()));
        same.and_then(BTreeSet::first) == Some(&number)
    }

    /// Those to this recipient with this id.
    pub(super) fn with_id(&self, recipient: IdentityKey, id: &str) -> Vec<u64> {
        let found = self.ids.get(&(recipient, id.to_owned()));
        found.into_iter().flatten().copied().collect()
    }

    /// Whether there is one of the same recipient, sender and id.
    pub(super) fn has(&self, head: &Head) -> bool {
        let same = self.with_id(head.recipient, &head.id).into_iter();
        same.filter_map(|number| self.head(number))
            .any(|it| it.sender == head.sender)
    }

    /// Whether there is room for one more, after those that are to be added.
    pub(super) fn fits(&self, head: &Head, bounds: &Bounds, before: &[(u64, Head)]) -> bool {
        let before = || before.iter().map(|(_, it)| it);
        let of = (head.recipient, head.name.clone());
        let same_box = |it: &&Head| it.recipient == head.recipient && it.name == head.name;
        let in_box =
            self.boxes.get(&of).map_or(0, BTreeSet::len) + before().filter(same_box).count();
        let new = before().map(|it| (it.recipient, it.name.clone()));
        let new: BTreeSet<Of> = new
            .chain([of])
            .filter(|of| !self.boxes.contains_key(of))
            .collect();
        let added = |it: &Head| counts(it);
        let all: u64 = self.size().bytes + before().map(added).sum::<u64>() + counts(head);
        let of_one = self.of_contacts.get(&head.contact).copied().unwrap_or(0)
            + before()
                .filter(|it| it.contact == head.contact)
                .map(added)
                .sum::<u64>()
            + counts(head);
        in_box < bounds.messages
            && self.boxes.len() + new.len() <= bounds.boxes
            && of_one <= bounds.bytes_of_one
            && all <= bounds.bytes
    }

    pub(super) fn show(&mut self, number: u64) {
        if let Some(head) = self.heads.get_mut(&number) {
            head.shown = true;
        }
    }

    /// Recipient, name and number of messages of every box.
    pub(super) fn boxes(&self) -> impl Iterator<Item = (&IdentityKey, &String, usize)> {
        let boxes = self.boxes.iter();
        boxes.map(|((recipient, name), numbers)| (recipient, name, numbers.len()))
    }

    pub(super) fn size(&self) -> Size {
        Size {
            messages: self.heads.len() as u64,
            bytes: self.of_contacts.values().sum(),
        }
    }
}

fn counts(head: &Head) -> u64 {
    u64::from(head.bytes) + OVERHEAD
}

/// What is remembered of messages that went or came: hashes, numbered.
#[derive(Default)]
pub(super) struct Seen {
    numbers: BTreeMap<[u8; 32], u64>,
    hashes: BTreeMap<u64, [u8; 32]>,
}

impl Seen {
    pub(super) fn has(&self, hash: &[u8; 32]) -> bool {
        self.numbers.contains_key(hash)
    }

    pub(super) fn next(&self) -> u64 {
        let last = self.hashes.last_key_value();
        last.map_or(1, |(number, _)| number.saturating_add(1))
    }

    pub(super) fn put(&mut self, hash: [u8; 32], number: u64) {
        self.numbers.insert(hash, number);
        self.hashes.insert(number, hash);
    }

    pub(super) fn remove(&mut self, hash: &[u8; 32]) {
        if let Some(number) = self.numbers.remove(hash) {
            self.hashes.remove(&number);
        }
    }

    /// The oldest that are too many once so many are added.
    pub(super) fn too_many(&self, most: usize, added: usize) -> Vec<[u8; 32]> {
        let over = (self.hashes.len() + added).saturating_sub(most);
        self.hashes.values().take(over).copied().collect()
    }
}
