//! What arrives: each fragment once, put together, and on disk before it is acknowledged.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use shoal_packet::command::StreamEntry;
use shoal_packet::fragment::{Envelope, Fragment};
use shoal_proto::{MessageId, NetworkHash, Time};
use zeroize::Zeroizing;

use crate::config::Limits;
use crate::error::ClientError;
use crate::event::HopTrace;
use crate::keys::ClientKeys;
use crate::rows::{self, Change, InboxKey, InboxRow, Row, SeenKey, Table};
use crate::seal::{self, Binding};

/// What to do about a pushed entry.
pub(crate) enum Arrival {
    /// It is here and safe: acknowledge it.
    Known,
    /// It is being saved: wait.
    Saving,
    /// No room: leave it at the mailbox.
    Full,
    /// It does not open, or holds no fragment: acknowledge it, so that it blocks nothing.
    Bad,
    /// New: save this, then acknowledge it.
    New { changes: Vec<Change>, kept: Kept },
}

/// What was saved together.
#[derive(Clone)]
pub(crate) struct Kept {
    seen: SeenKey,
    /// The message it completed.
    pub(crate) complete: Option<InboxKey>,
    /// The way it came.
    pub(crate) trace: Vec<HopTrace>,
}

struct Partial {
    envelope: Envelope,
    count: u16,
    /// Orders messages by age.
    age: u64,
    parts: BTreeMap<u16, Zeroizing<Vec<u8>>>,
}

struct Unread {
    row: InboxRow,
    told: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Saving,
    Safe,
}

/// Everything received that is not done with.
pub(crate) struct Inbox {
    limits: Limits,
    seen: BTreeMap<SeenKey, (u64, Seen)>,
    seen_by_age: BTreeMap<u64, SeenKey>,
    partial: BTreeMap<InboxKey, Partial>,
    fragments: usize,
    unread: BTreeMap<InboxKey, Unread>,
    next_age: u64,
    discarded: u64,
}

impl Inbox {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            seen: BTreeMap::new(),
            seen_by_age: BTreeMap::new(),
            partial: BTreeMap::new(),
            fragments: 0,
            unread: BTreeMap::new(),
            next_age: 0,
            discarded: 0,
        }
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Fragments of unfinished messages given up for lack of room.
    pub(crate) fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Rebuilds everything; gives the messages to tell of again.
    pub(crate) fn restore(&mut self, rows: &[Row]) -> Result<Vec<InboxKey>, ClientError> {
        let mut seen = Vec::new();
        let mut partial = Vec::new();
        for row in rows {
            match row.table {
                Table::Inbox => {
                    let key = InboxKey::decode(&row.key).map_err(|e| row.fault(e))?;
                    let message = InboxRow::decode(&row.value).map_err(|e| row.fault(e))?;
                    self.unread.insert(
                        key,
                        Unread {
                            row: message,
                            told: true,
                        },
                    );
                }
                Table::Seen => {
                    let key = SeenKey::decode(&row.key).map_err(|e| row.fault(e))?;
                    let time = rows::decode_number(&row.value).map_err(|e| row.fault(e))?;
                    seen.push((time, key));
                }
                Table::Partial => {
                    let (key, index) =
                        InboxKey::decode_partial(&row.key).map_err(|e| row.fault(e))?;
                    let (time, bytes) =
                        rows::decode_partial(&row.value).map_err(|e| row.fault(e))?;
                    let fragment =
                        Fragment::decode(bytes).map_err(|_| row.fault("it holds no fragment"))?;
                    if fragment.index != index || fragment.envelope.message != key.message {
                        return Err(row.fault("it is another fragment than its key says"));
                    }
                    partial.push((time, key, fragment));
                }
                _ => {}
            }
        }
        seen.sort_unstable();
        for (_, key) in seen {
            self.mark(key, Seen::Safe);
        }
        partial.sort_by_key(|(time, key, fragment)| (*time, *key, fragment.index));
        for (_, key, fragment) in partial {
            self.insert(key, fragment);
        }
        let mut untold: Vec<(Time, InboxKey)> = self
            .unread
            .iter()
            .map(|(key, unread)| (unread.row.arrived, *key))
            .collect();
        untold.sort_unstable();
        Ok(untold.into_iter().map(|(_, key)| key).collect())
    }

    /// Takes a pushed entry.
    pub(crate) fn arrive(
        &mut self,
        now: Time,
        keys: &ClientKeys,
        network: &NetworkHash,
        entry: &StreamEntry,
        trace: Vec<HopTrace>,
    ) -> Arrival {
        let seen = SeenKey {
            drop: entry.drop,
            deposit: entry.message,
        };
        match self.seen.get(&seen) {
            Some((_, Seen::Safe)) => return Arrival::Known,
            Some((_, Seen::Saving)) => return Arrival::Saving,
            None => {}
        }
        if self.unread.len() >= self.limits.unread {
            return Arrival::Full;
        }
        let binding = Binding {
            network: *network,
            drop: entry.drop,
            message: entry.message,
        };
        let opened = seal::open(keys, &binding, &entry.blob);
        let Ok((sender, plaintext)) = opened else {
            return Arrival::Bad;
        };
        let Ok(fragment) = Fragment::decode(&plaintext) else {
            return Arrival::Bad;
        };
        let key = InboxKey {
            sender,
            message: fragment.envelope.message,
        };
        if self.contradicts(&key, &fragment) {
            return Arrival::Bad;
        }
        let index = fragment.index;
        let (complete, mut changes) = self.put_together(now, key, fragment);
        if complete.is_none() && self.partial.contains_key(&key) {
            let value = rows::encode_partial(now, &plaintext);
            changes.push(Change::put(Table::Partial, key.partial(index), value));
        }
        changes.push(Change::put(
            Table::Seen,
            seen.to_bytes(),
            rows::encode_number(now.as_micros()),
        ));
        changes.extend(self.mark(seen, Seen::Saving));
        Arrival::New {
            changes,
            kept: Kept {
                seen,
                complete,
                trace,
            },
        }
    }

    /// What was saved with this is safe now.
    pub(crate) fn safe(&mut self, kept: &Kept) {
        if let Some((_, state)) = self.seen.get_mut(&kept.seen) {
            *state = Seen::Safe;
        }
    }

    /// Saving failed: when the mailbox pushes the fragment again, it is new again.
    pub(crate) fn forget(&mut self, kept: &Kept) {
        if let Some((age, _)) = self.seen.remove(&kept.seen) {
            self.seen_by_age.remove(&age);
        }
    }

    /// A whole message to tell of, once.
    pub(crate) fn tell(&mut self, key: &InboxKey) -> Option<InboxRow> {
        let unread = self.unread.get_mut(key)?;
        if std::mem::replace(&mut unread.told, true) {
            return None;
        }
        // The row on disk has the text; here it is not needed any more.
        let mut row = unread.row.clone();
        row.text = std::mem::take(&mut unread.row.text);
        Some(row)
    }

    /// As [`Inbox::tell`], of messages restored.
    pub(crate) fn tell_again(&mut self, key: &InboxKey) -> Option<InboxRow> {
        self.unread.get_mut(key)?.told = false;
        self.tell(key)
    }

    /// The user has it: what to delete.
    pub(crate) fn read(&mut self, message: &MessageId) -> Vec<Change> {
        let told = |(key, unread): (&InboxKey, &Unread)| {
            (key.message == *message && unread.told).then_some(*key)
        };
        let read: Vec<InboxKey> = self.unread.iter().filter_map(told).collect();
        read.into_iter()
            .map(|key| {
                self.unread.remove(&key);
                Change::delete(Table::Inbox, key.to_bytes())
            })
            .collect()
    }

    fn contradicts(&self, key: &InboxKey, fragment: &Fragment) -> bool {
        self.partial.get(key).is_some_and(|partial| {
            let known = partial.parts.get(&fragment.index);
            partial.envelope != fragment.envelope
                || partial.count != fragment.count
                || known.is_some_and(|text| *text != fragment.text)
        })
    }

    /// Adds a fragment: the message it completes, and the changes of other rows.
    fn put_together(
        &mut self,
        now: Time,
        key: InboxKey,
        fragment: Fragment,
    ) -> (Option<InboxKey>, Vec<Change>) {
        // The row of a message that is complete but could not be saved is saved anew.
        if let Some(unread) = self.unread.get(&key) {
            if unread.told {
                return (None, Vec::new());
            }
            let row = unread.row.encode();
            return (
                Some(key),
                vec![Change::put(Table::Inbox, key.to_bytes(), row)],
            );
        }
        self.insert(key, fragment);
        let complete = |partial: &Partial| partial.parts.len() == usize::from(partial.count);
        if !self.partial.get(&key).is_some_and(complete) {
            return (None, self.make_room(&key));
        }
        let Some(partial) = self.remove(&key) else {
            return (None, Vec::new());
        };
        let row = InboxRow {
            arrived: now,
            sent_at: partial.envelope.sent_at,
            sequence: partial.envelope.sequence,
            reply_provider: partial.envelope.reply_provider,
            reply_drop: partial.envelope.reply_drop,
            text: partial
                .parts
                .values()
                .flat_map(|part| part.iter().copied())
                .collect(),
        };
        let mut changes = vec![Change::put(Table::Inbox, key.to_bytes(), row.encode())];
        changes.extend(deletions(&key, &partial));
        self.unread.insert(key, Unread { row, told: false });
        (Some(key), changes)
    }

    fn insert(&mut self, key: InboxKey, fragment: Fragment) {
        let age = self.draw_age();
        let partial = self.partial.entry(key).or_insert_with(|| Partial {
            envelope: fragment.envelope,
            count: fragment.count,
            age,
            parts: BTreeMap::new(),
        });
        if partial
            .parts
            .insert(fragment.index, fragment.text)
            .is_none()
        {
            self.fragments += 1;
        }
    }

    /// Gives up the oldest unfinished message of the sender who holds most, so that a flood is
    /// its sender's own loss; not the one in hand.
    fn make_room(&mut self, keep: &InboxKey) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.fragments > self.limits.partial_fragments {
            let mut held: BTreeMap<_, usize> = BTreeMap::new();
            for (key, partial) in &self.partial {
                *held.entry(key.sender).or_default() += partial.parts.len();
            }
            let victim = self
                .partial
                .iter()
                .filter(|(key, _)| *key != keep)
                .max_by_key(|(key, partial)| (held.get(&key.sender), Reverse(partial.age)))
                .map(|(key, _)| *key);
            let Some(victim) = victim else { break };
            if let Some(partial) = self.remove(&victim) {
                self.discarded += partial.parts.len() as u64;
                changes.extend(deletions(&victim, &partial));
            }
        }
        changes
    }

    fn remove(&mut self, key: &InboxKey) -> Option<Partial> {
        let partial = self.partial.remove(key)?;
        self.fragments -= partial.parts.len();
        Some(partial)
    }

    fn draw_age(&mut self) -> u64 {
        self.next_age += 1;
        self.next_age
    }

    /// Remembers a fragment; the row of one that has to be forgotten for it.
    fn mark(&mut self, key: SeenKey, state: Seen) -> Option<Change> {
        let age = self.draw_age();
        self.seen.insert(key, (age, state));
        self.seen_by_age.insert(age, key);
        if self.seen.len() <= self.limits.seen.max(1) {
            return None;
        }
        let (_, oldest) = self.seen_by_age.pop_first()?;
        self.seen.remove(&oldest);
        Some(Change::delete(Table::Seen, oldest.to_bytes()))
    }
}

fn deletions(key: &InboxKey, partial: &Partial) -> Vec<Change> {
    let row = |index: &u16| Change::delete(Table::Partial, key.partial(*index));
    partial.parts.keys().map(row).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use shoal_packet::fragment;
    use shoal_proto::{DropId, NodeId};

    use super::*;

    fn fragments(seed: u64, length: usize) -> (ClientKeys, Vec<(MessageId, Vec<u8>)>) {
        let keys = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(seed));
        let envelope = Envelope {
            message: MessageId::new([seed.to_le_bytes()[0]; 16]),
            sequence: 0,
            sent_at: Time::default(),
            reply_provider: NodeId::new([1; 32]),
            reply_drop: DropId::new([2; 32]),
        };
        let parts = fragment::split(&envelope, &vec![9; length]).unwrap();
        let parts = parts.iter().map(|part| {
            let mut id = *envelope.message.as_bytes();
            id[15] = part.index.to_le_bytes()[0];
            (MessageId::new(id), part.encode().unwrap().to_vec())
        });
        (keys, parts.collect())
    }

    fn arrive(
        inbox: &mut Inbox,
        me: &ClientKeys,
        from: &ClientKeys,
        part: &(MessageId, Vec<u8>),
    ) -> Arrival {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let (network, drop) = (NetworkHash::new([0; 32]), DropId::new([3; 32]));
        let binding = Binding {
            network,
            drop,
            message: part.0,
        };
        let blob = seal::seal(&mut rng, from, &me.public(), &binding, &part.1).unwrap();
        let entry = StreamEntry {
            entry: 0,
            drop,
            message: part.0,
            blob,
        };
        inbox.arrive(Time::from_micros(1), me, &network, &entry, Vec::new())
    }

    #[test]
    fn fragments_come_in_any_order_and_once() {
        let me = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(99));
        let (from, parts) = fragments(1, 3_000);
        let mut inbox = Inbox::new(Limits::default());
        let mut told = 0;
        for index in [2, 0, 2, 1, 0] {
            match arrive(&mut inbox, &me, &from, &parts[index]) {
                Arrival::New { kept, .. } => {
                    inbox.safe(&kept);
                    if let Some(key) = kept.complete {
                        assert_eq!(inbox.tell(&key).unwrap().text, vec![9; 3_000]);
                        told += 1;
                    }
                }
                Arrival::Known => {}
                _ => panic!("neither new nor known"),
            }
        }
        assert_eq!((told, inbox.partial.len(), inbox.fragments), (1, 0, 0));
    }

    #[test]
    fn a_flood_of_fragments_is_its_senders_loss() {
        let me = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(99));
        let limits = Limits {
            partial_fragments: 8,
            ..Limits::default()
        };
        let mut inbox = Inbox::new(limits);
        let (honest, parts) = fragments(1, 3_000);
        arrive(&mut inbox, &me, &honest, &parts[0]);
        let mut deleted = 0;
        for seed in 2..30 {
            let (_, flood) = fragments(seed, 3_000);
            let (flooder, _) = fragments(50, 0);
            let Arrival::New { changes, .. } = arrive(&mut inbox, &me, &flooder, &flood[0]) else {
                panic!("new");
            };
            deleted += changes
                .iter()
                .filter(|change| change.value.is_none())
                .count();
            assert!(inbox.fragments <= 8);
        }
        assert_eq!((deleted as u64, inbox.discarded()), (21, 21));
        arrive(&mut inbox, &me, &honest, &parts[1]);
        let Arrival::New { kept, .. } = arrive(&mut inbox, &me, &honest, &parts[2]) else {
            panic!("new");
        };
        assert!(kept.complete.is_some());
    }

    #[test]
    fn a_contradicting_fragment_changes_nothing() {
        let me = ClientKeys::generate(&mut ChaCha20Rng::seed_from_u64(99));
        let (from, parts) = fragments(1, 3_000);
        let mut inbox = Inbox::new(Limits::default());
        arrive(&mut inbox, &me, &from, &parts[0]);
        let mut other = parts[0].clone();
        other.0 = MessageId::new([7; 16]);
        other.1[200] ^= 1;
        assert!(matches!(
            arrive(&mut inbox, &me, &from, &other),
            Arrival::Bad
        ));
    }
}
